import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';

/** A folder imports from lower rows and from itself; folders of one row never import each other. */
const ROWS = [
	['errors.ts', 'bytes', 'system'],
	['block'],
	['diff', 'ext'],
	['shadow'],
	['providers', 'fuse', 'control'],
	['service'],
];

/** `system` and `bytes` may use the error type, which imports nothing. */
const WITHIN_LOWEST_ROW = 'errors.ts';

const CLI_MAY_IMPORT = ['service', 'control', 'errors.ts', 'shadow'];

const root = join(import.meta.dirname, '..', '..');

function sourceFiles(folder: string): string[] {
	return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
		.filter((name) => name.endsWith('.ts'))
		.map((name) => join(folder, name))
		.sort();
}

function importsOf(file: string): string[] {
	const text = readFileSync(join(root, file), 'utf8');
	return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, specifier]) =>
		specifier!.startsWith('.') ? relative(root, join(root, dirname(file), specifier!)) : specifier!,
	);
}

const folderOf = (file: string) => file.split('/')[1]!;
const rowOf = (folder: string) => ROWS.findIndex((row) => row.includes(folder));

test('every folder of src has its row', (t) => {
	t.deepEqual(
		readdirSync(join(root, 'src')).filter((name) => rowOf(name) < 0),
		[],
	);
});

test('imports point downwards', (t) => {
	const wrong = sourceFiles('src').flatMap((file) =>
		importsOf(file)
			.filter((target) => target.startsWith('src/') || target.startsWith('cli/'))
			.filter((target) => {
				const [from, to] = [folderOf(file), folderOf(target)];
				if (from === to || (rowOf(from) === 0 && to === WITHIN_LOWEST_ROW)) return false;
				return target.startsWith('cli/') || rowOf(to) >= rowOf(from);
			})
			.map((target) => `${file} imports ${target}`),
	);
	t.deepEqual(wrong, []);
});

test('the command line imports the service, its control and plain types only', (t) => {
	const wrong = sourceFiles('cli').flatMap((file) =>
		importsOf(file)
			.filter((target) => target.startsWith('src/') && !CLI_MAY_IMPORT.includes(folderOf(target)))
			.map((target) => `${file} imports ${target}`),
	);
	t.deepEqual(wrong, []);
});

test('what only one folder may know is not to be found elsewhere', (t) => {
	const rules: [what: string, pattern: RegExp, allowed: RegExp][] = [
		['the clock and random ids', /Date\.now\(|Math\.random\(|randomUUID\(/, /^cli\/commands\/mount\.ts$/],
		['meow', /from 'meow'/, /^cli\//],
		['koffi', /'koffi'/, /^src\/system\/libc\.ts$/],
		['exit codes', /process\.exit(Code)?\b/, /^cli\//],
		['the segment files of a diff area', /segmentFileName\(/, /^src\/diff\//],
		['writes of the ext reader', /\.write\(|writeSync|ftruncate/, /^(?!src\/ext\/)/],
	];
	const wrong = [...sourceFiles('src'), ...sourceFiles('cli')].flatMap((file) => {
		const text = readFileSync(join(root, file), 'utf8');
		return rules
			.filter(([, pattern, allowed]) => pattern.test(text) && !allowed.test(file))
			.map(([what]) => `${file}: ${what}`);
	});
	t.deepEqual(wrong, []);
});

/** The paths that the map in ARCHITECTURE.md names below src/ and cli/; `commands/` names its files in its text. */
function pathsOfMap(): string[] {
	const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
	const lines = /^src\/$.*?^images\/ /ms.exec(text)![0].split('\n').slice(0, -1);
	let folders: string[] = [];
	return lines.flatMap((line) => {
		const [, indent, name] = /^( *)(\S+)/.exec(line)!;
		folders = folders.slice(0, indent!.length / 2);
		if (!name!.endsWith('/')) return [join(...folders, name!)];
		folders.push(name!);
		if (name !== 'commands/') return [];
		const [, names] = /commands\/ +(.*): one file each$/.exec(line)!;
		return names!.split(', ').map((command) => join(...folders, `${command}.ts`));
	});
}

test('the map in ARCHITECTURE.md names every file of src and cli, and nothing else', (t) => {
	const named = pathsOfMap().filter((path) => path.endsWith('.ts'));
	t.deepEqual(named.sort(), [...sourceFiles('src'), ...sourceFiles('cli')].sort());
});

test('files keep their size', (t) => {
	const wrong = [...sourceFiles('src'), ...sourceFiles('cli')].flatMap((file) => {
		const lines = readFileSync(join(root, file), 'utf8').split('\n');
		return lines.length > 450 ? [`${file} has ${lines.length} lines`] : [];
	});
	t.deepEqual(wrong, []);
});
