/**
 * The one error type of Noonmark. A family says what kind of thing went wrong; a code is stable and may be relied on by
 * scripts; the message says what was found, where, and what to do about it.
 *
 * corrupt: the bytes contradict their format. unsupported: sound, but not something this version can read.
 * refused: sound, but doing it now would be unsafe. io: the system below failed. missing: what was named is not there.
 */
export type ErrorFamily = 'corrupt' | 'unsupported' | 'refused' | 'io' | 'missing';

export class NoonmarkError extends Error {
	readonly family: ErrorFamily;
	/** Stable, kebab-case: `creation-in-progress`, `not-ext`, … */
	readonly code: string;

	constructor(family: ErrorFamily, code: string, message: string, options?: { cause?: unknown }) {
		super(message, options);
		this.name = 'NoonmarkError';
		this.family = family;
		this.code = code;
	}
}

export const corrupt = (code: string, message: string) => new NoonmarkError('corrupt', code, message);
export const unsupported = (code: string, message: string) => new NoonmarkError('unsupported', code, message);
export const refused = (code: string, message: string) => new NoonmarkError('refused', code, message);
export const missing = (code: string, message: string) => new NoonmarkError('missing', code, message);
export const ioError = (code: string, message: string, cause?: unknown) =>
	new NoonmarkError('io', code, message, cause === undefined ? undefined : { cause });

/** The message of anything that was thrown, for a line of text. */
export function messageOf(thrown: unknown): string {
	return thrown instanceof Error ? thrown.message : String(thrown);
}

/** A NoonmarkError as it crosses a thread or a socket. */
export interface PlainError {
	readonly family: ErrorFamily;
	readonly code: string;
	readonly message: string;
}

/** Anything that was thrown, as it crosses a thread or a socket: what is no NoonmarkError is io `failed`. */
export function plainError(thrown: unknown): PlainError {
	if (thrown instanceof NoonmarkError) return { family: thrown.family, code: thrown.code, message: thrown.message };
	return { family: 'io', code: 'failed', message: messageOf(thrown) };
}

export const errorFromPlain = ({ family, code, message }: PlainError) => new NoonmarkError(family, code, message);
