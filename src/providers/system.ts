/** The system provider: shadow copies by copy-on-write in the diff area of the volume's own service. */
import type { DiffAreaShare } from '../diff/diff-area-types.ts';
import { exclusiveBytes } from '../diff/exclusive-bytes.ts';
import type { ProvidedCopy, Provider } from '../shadow/provider.ts';
import type { ShadowCopy } from '../shadow/shadow-copy.ts';

/** The diff area as its owner, the live thread, lets others use it. A copy's label is its ShadowCopy. */
export interface RemoteDiffArea {
	copies(): Promise<
		readonly { epoch: number; label: unknown; fault: string | null; preservedBytes: number; segmentsBytes: number }[]
	>;
	prepareCommit(): Promise<void>;
	commit(label: unknown): Promise<void>;
	finishCommit(): Promise<void>;
	abortCommit(): Promise<void>;
	delete(epoch: number): Promise<boolean>;
}

export class SystemProvider implements Provider {
	readonly type = 'system';
	readonly #diffArea: RemoteDiffArea;
	readonly #volumePath: string;
	readonly #share: DiffAreaShare;

	constructor(diffArea: RemoteDiffArea, volumePath: string, share: DiffAreaShare) {
		this.#diffArea = diffArea;
		this.#volumePath = volumePath;
		this.#share = share;
	}

	async copies(): Promise<ProvidedCopy[]> {
		const copies = await this.#diffArea.copies();
		return copies.map(({ epoch, label, fault, preservedBytes }) => ({
			copy: label as ShadowCopy,
			number: epoch,
			preservedBytes,
			fault,
			device: { kind: 'diff-area', volumePath: this.#volumePath, diffArea: this.#share, epoch },
		}));
	}

	async bytesFreedByDeleting(): Promise<ReadonlyMap<string, number>> {
		const copies = await this.#diffArea.copies();
		const exclusive = exclusiveBytes(
			this.#share,
			copies.map(({ epoch }) => epoch),
		);
		return new Map(
			copies.map(({ label, segmentsBytes }, i) => [(label as ShadowCopy).id, i === 0 ? segmentsBytes : exclusive[i]!]),
		);
	}

	prepare(): Promise<void> {
		return this.#diffArea.prepareCommit();
	}

	commit(copy: ShadowCopy): Promise<void> {
		return this.#diffArea.commit(copy);
	}

	finish(): Promise<void> {
		return this.#diffArea.finishCommit();
	}

	abort(): Promise<void> {
		return this.#diffArea.abortCommit();
	}

	async delete(copyId: string): Promise<boolean> {
		const found = (await this.copies()).find(({ copy }) => copy.id === copyId);
		return found !== undefined && this.#diffArea.delete(found.number);
	}
}
