/** Whether what came over the control socket is a request, before anything is done with it. */
import { refused } from '../errors.ts';
import type { ControlRequest } from './messages.ts';

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
	typeof value === 'object' && value !== null && !Array.isArray(value);
const isText: Check = (value) => typeof value === 'string';
const isFlag: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) > 0;
const isShare: Check = (value) => Number.isFinite(value) && (value as number) > 0;
const isListOfText: Check = (value) => Array.isArray(value) && value.every(isText);

const orAbsent =
	(check: Check): Check =>
	(value) =>
		value === undefined || check(value);

/** An object that has one of these fields, and no other. */
const oneOf =
	(checks: Readonly<Record<string, Check>>): Check =>
	(value) => {
		if (!isObject(value)) return false;
		const [name, ...more] = Object.keys(value);
		return name !== undefined && more.length === 0 && Object.hasOwn(checks, name) && checks[name]!(value[name]);
	};

const isCopySelection = oneOf({
	named: isListOfText,
	all: (value) => value === true,
	oldest: (value) => value === true,
});
const isSize = oneOf({ bytes: isCount, percent: isShare });
const isMaximumSize: Check = (value) => value === 'unbounded' || isSize(value);
const isInspectSelection: Check = (value) =>
	isObject(value) &&
	orAbsent(isText)(value.path) &&
	orAbsent(isCount)(value.inodeNumber) &&
	orAbsent(isFlag)(value.replayJournal);

const FIELDS: Readonly<Record<ControlRequest['verb'], Readonly<Record<string, Check>>>> = {
	status: {},
	shadows: {},
	storage: {},
	events: {},
	follow: {},
	verify: {},
	unmount: {},
	create: { noWriters: orAbsent(isFlag) },
	delete: { which: isCopySelection },
	resize: { maximumSize: isMaximumSize },
	inspect: { copy: isText, selection: isInspectSelection },
};

/** The request in a line of JSON. Errors: refused `bad-request`, with what is wrong. */
export function requestIn(line: string): ControlRequest {
	const request = parse(line);
	if (!isObject(request) || typeof request.verb !== 'string') {
		throw refused('bad-request', 'the control socket takes one line of JSON, an object with a verb');
	}
	const { verb } = request;
	if (!Object.hasOwn(FIELDS, verb)) {
		throw refused('bad-request', `the volume service does not know the verb ${JSON.stringify(verb)}`);
	}
	for (const [name, isRight] of Object.entries(FIELDS[verb as ControlRequest['verb']])) {
		if (isRight(request[name])) continue;
		throw refused('bad-request', `the request to ${verb} cannot have ${JSON.stringify(request[name])} as its ${name}`);
	}
	return request as unknown as ControlRequest;
}

function parse(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return undefined;
	}
}
