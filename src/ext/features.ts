/**
 * The feature words of the superblock, by the names that mke2fs and tune2fs use.
 *
 * A feature that Noonmark does not know matters only in the `incompat` word: that word says "who does not know this
 * cannot read it". Unknown `compat` and `ro_compat` bits never stop a reader.
 */
import { unsupported } from '../errors.ts';

const COMPAT = {
	dir_prealloc: 0x1,
	imagic_inodes: 0x2,
	has_journal: 0x4,
	ext_attr: 0x8,
	resize_inode: 0x10,
	dir_index: 0x20,
	lazy_bg: 0x40,
	exclude_bitmap: 0x100,
	sparse_super2: 0x200,
	fast_commit: 0x400,
	stable_inodes: 0x800,
	orphan_file: 0x1000,
} as const;

const INCOMPAT = {
	compression: 0x1,
	filetype: 0x2,
	needs_recovery: 0x4,
	journal_dev: 0x8,
	meta_bg: 0x10,
	extent: 0x40,
	'64bit': 0x80,
	mmp: 0x100,
	flex_bg: 0x200,
	ea_inode: 0x400,
	dirdata: 0x1000,
	metadata_csum_seed: 0x2000,
	large_dir: 0x4000,
	inline_data: 0x8000,
	encrypt: 0x10000,
	casefold: 0x20000,
} as const;

const RO_COMPAT = {
	sparse_super: 0x1,
	large_file: 0x2,
	btree_dir: 0x4,
	huge_file: 0x8,
	uninit_bg: 0x10,
	dir_nlink: 0x20,
	extra_isize: 0x40,
	snapshot: 0x80,
	quota: 0x100,
	bigalloc: 0x200,
	metadata_csum: 0x400,
	replica: 0x800,
	'read-only': 0x1000,
	project: 0x2000,
	shared_blocks: 0x4000,
	verity: 0x8000,
	orphan_present: 0x10000,
} as const;

/** Every feature that has a name here, with its word. */
export const KNOWN_FEATURES = { compat: COMPAT, incompat: INCOMPAT, roCompat: RO_COMPAT };

export type FeatureName = keyof typeof COMPAT | keyof typeof INCOMPAT | keyof typeof RO_COMPAT;

/** Known, and not readable: why. */
const UNREADABLE: ReadonlyMap<string, string> = new Map([
	['compression', 'compressed files were never part of Linux'],
	['dirdata', 'Lustre keeps data of its own in directory entries'],
	['journal_dev', 'this is the external journal of another volume, not a file system'],
]);

/** Nothing that is read depends on these: they are about writing, or about what is kept beside the files. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
	...['dir_prealloc', 'imagic_inodes', 'lazy_bg', 'exclude_bitmap', 'stable_inodes', 'orphan_file', 'orphan_present'],
	...['mmp', 'btree_dir', 'snapshot', 'quota', 'replica', 'read-only', 'project', 'shared_blocks'],
]);

/** How a feature is treated: what it says is understood, it makes no difference, or the volume is refused. */
export interface FeatureReport {
	readonly name: string;
	readonly treatment: 'read' | 'ignored' | 'refused';
	/** Why it is refused, or read only in part. */
	readonly note?: string;
}

const NOTES: ReadonlyMap<string, string> = new Map([
	['verity', 'files are read without the check against their Merkle tree'],
	['encrypt', 'names are shown as without the key; content is refused'],
	['mmp', 'another host may be writing: see the MMP block'],
]);

/** Every feature of a volume, and how it is treated. */
export function describeFeatures(words: FeatureWords): FeatureReport[] {
	const refused = new Set(namesOf(words.incompat, INCOMPAT_NAMES).filter((name) => refusal(name) !== undefined));
	return [...featureNames(words)].map((name) => {
		if (refused.has(name)) return { name, treatment: 'refused', note: refusal(name)! };
		const treatment = WITHOUT_EFFECT.has(name) || name.startsWith('FEATURE_') ? 'ignored' : 'read';
		const note = NOTES.get(name);
		return note === undefined ? { name, treatment } : { name, treatment, note };
	});
}

/** Why an incompatible feature stops a reader; undefined where it does not. */
function refusal(name: string): string | undefined {
	return name in INCOMPAT ? UNREADABLE.get(name) : 'this version does not know it';
}

export interface FeatureWords {
	readonly compat: number;
	readonly incompat: number;
	readonly roCompat: number;
}

/** The names of the bits of a word, in their order; `FEATURE_I32` and the like (bit number) for those without one. */
function bitNames(table: Readonly<Record<string, number>>, letter: 'C' | 'I' | 'R'): readonly string[] {
	const names = new Map(Object.entries(table).map(([name, bit]) => [bit, name]));
	return Array.from({ length: 32 }, (_, index) => names.get((1 << index) >>> 0) ?? `FEATURE_${letter}${index}`);
}

const COMPAT_NAMES = bitNames(COMPAT, 'C');
const INCOMPAT_NAMES = bitNames(INCOMPAT, 'I');
const RO_COMPAT_NAMES = bitNames(RO_COMPAT, 'R');

const namesOf = (word: number, names: readonly string[]) => names.filter((_, index) => (word >>> index) & 1);

/** All features by name, in the order of tune2fs. */
export function featureNames(words: FeatureWords): ReadonlySet<FeatureName> {
	return new Set([
		...namesOf(words.compat, COMPAT_NAMES),
		...namesOf(words.incompat, INCOMPAT_NAMES),
		...namesOf(words.roCompat, RO_COMPAT_NAMES),
	]) as ReadonlySet<FeatureName>;
}

/** Throws `unsupported` (`feature-<name>`) for the first incompatible feature that this reader does not know. */
export function checkReadable(incompat: number): void {
	for (const name of namesOf(incompat, INCOMPAT_NAMES)) {
		const why = refusal(name);
		if (why === undefined) continue;
		const code = name === 'journal_dev' ? 'journal-device' : `feature-${name.toLowerCase()}`;
		throw unsupported(code, `superblock: the volume uses the ext feature ${name}: ${why}`);
	}
}
