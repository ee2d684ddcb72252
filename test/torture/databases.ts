/**
 * Databases under load on the live device, and a shadow copy every few seconds. What is copied out of each copy must
 * start as after a power cut, be sound by the database's own checks, and keep the sums that its transactions keep.
 */
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runOk, shell } from '../helpers/run.ts';
import type { TeardownContext } from '../helpers/temp.ts';
import { type ShadowCopyJson, TestVolume } from '../helpers/volume.ts';

const COPY_EVERY_MS = 10_000;
const TIMEOUT_MS = 300_000;
const CLUSTERS = '/usr/lib/postgresql';

export interface DatabaseResult {
	readonly copies: number;
	/** Transactions in the last copy. */
	readonly transactions: { readonly postgres: number; readonly sqlite: number };
	readonly failures: readonly string[];
}

/** Needs root, and what `images/install-tools.sh databases` installs. */
export async function checkDatabases(t: TeardownContext, seconds: number): Promise<DatabaseResult> {
	const volume = new TestVolume(t, { sizeBytes: 4 * 2 ** 30 });
	chmodSync(volume.directory, 0o711);
	await volume.mount('--max-size', 'unbounded');
	const postgres = new Postgres(join(volume.data, 'postgres'), join(volume.directory, 'socket'));
	// A directory: beside the database lies its write-ahead log, and one is nothing without the other.
	const sqlite = join(volume.data, 'sqlite/database');
	await shell('mkdir "$1"', [dirname(sqlite)]);
	await postgres.make();
	await makeSqlite(sqlite);
	await postgres.start();
	const copies: ShadowCopyJson[] = [];
	try {
		const load = Promise.all([postgres.load(seconds), loadSqlite(sqlite, seconds)]);
		load.catch(() => {}); // told below, by the await
		for (const end = performance.now() + seconds * 1000; performance.now() + COPY_EVERY_MS < end; ) {
			await delay(COPY_EVERY_MS);
			copies.push(await volume.create());
		}
		await load;
	} finally {
		await postgres.stop();
	}
	return checkCopies(copies, join(volume.directory, 'out'));
}

async function checkCopies(copies: readonly ShadowCopyJson[], out: string): Promise<DatabaseResult> {
	const failures: string[] = [];
	let transactions = { postgres: 0, sqlite: 0 };
	for (const { name, path } of copies) {
		try {
			mkdirSync(out, { mode: 0o711 });
			await runOk('cp', ['--archive', join(path, 'postgres'), join(path, 'sqlite'), out], { timeoutMs: TIMEOUT_MS });
			const found = { postgres: await checkPostgres(out), sqlite: await checkSqlite(join(out, 'sqlite/database')) };
			if (found.postgres < transactions.postgres || found.sqlite < transactions.sqlite)
				failures.push(`${name}: has fewer transactions than the copy before: ${JSON.stringify([transactions, found])}`);
			transactions = found;
		} catch (error) {
			failures.push(`${name}: ${error}`);
		}
		rmSync(out, { recursive: true, force: true });
	}
	return { copies: copies.length, transactions, failures };
}

/** A PostgreSQL cluster that only its own socket reaches. */
class Postgres {
	readonly #data: string;
	readonly #socket: string;
	readonly #programs = join(
		CLUSTERS,
		readdirSync(CLUSTERS)
			.sort((a, b) => Number(a) - Number(b))
			.at(-1)!,
		'bin',
	);

	constructor(data: string, socket: string) {
		this.#data = data;
		this.#socket = socket;
	}

	async make(): Promise<void> {
		await shell('install -d -o postgres -m 0700 "$1"', [this.#data]);
		await this.#run('initdb', ['--pgdata', this.#data, '--no-sync', '--auth', 'trust']);
	}

	async start(): Promise<void> {
		await shell('install -d -o postgres -m 0700 "$1"', [this.#socket]);
		const settings = `-k ${this.#socket} -c listen_addresses= -c checkpoint_timeout=30s -c max_wal_size=128MB`;
		const log = join(this.#socket, 'log');
		await this.#run('pg_ctl', ['start', '--wait', '--pgdata', this.#data, '--log', log, '--options', settings]);
	}

	async stop(): Promise<void> {
		await this.#run('pg_ctl', ['stop', '--wait', '--pgdata', this.#data, '--mode', 'fast']);
	}

	async load(seconds: number): Promise<void> {
		await this.client('pgbench', ['--initialize', '--scale', '5', 'postgres']);
		await this.client('pgbench', ['--client', '4', '--time', String(seconds), 'postgres'], seconds * 1000 + TIMEOUT_MS);
	}

	client(program: string, args: readonly string[], timeoutMs = TIMEOUT_MS): Promise<Buffer> {
		return this.#run(program, ['--host', this.#socket, ...args], timeoutMs);
	}

	#run(program: string, args: readonly string[], timeoutMs = TIMEOUT_MS): Promise<Buffer> {
		const command = ['-u', 'postgres', '--', join(this.#programs, program), ...args];
		return runOk('runuser', command, { timeoutMs, cwd: '/' });
	}
}

/** Each of pgbench's transactions adds the same to an account, a teller and a branch, and notes it in the history. */
const PGBENCH_SUMS = `select count(*), coalesce(sum(delta), 0) = all (array[(select sum(abalance) from pgbench_accounts),
	(select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches)]) from pgbench_history`;

/** Starts what was copied out. Returns how many transactions it has. */
async function checkPostgres(out: string): Promise<number> {
	const postgres = new Postgres(join(out, 'postgres'), join(out, 'socket'));
	rmSync(join(out, 'postgres/postmaster.pid'), { force: true });
	await postgres.start();
	try {
		await postgres.client('pg_amcheck', ['--all', '--install-missing', '--heapallindexed', '--parent-check']);
		await postgres.client('pg_dumpall', ['--no-sync', '--file', '/dev/null']);
		const isLoaded = await postgres.client('psql', ['-Atc', "select to_regclass('pgbench_history')", 'postgres']);
		if (isLoaded.toString().trim() === '') return 0;
		const row = await postgres.client('psql', ['-Atc', PGBENCH_SUMS, 'postgres']);
		const [count, isSound] = row.toString().trim().split('|');
		if (isSound !== 't') throw new Error(`the sums of pgbench differ: ${row}`);
		return Number(count);
	} finally {
		await postgres.stop();
	}
}

async function makeSqlite(file: string): Promise<void> {
	const input = `
		PRAGMA journal_mode = WAL;
		CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, note TEXT);
		CREATE INDEX by_balance ON account (balance);
		CREATE TABLE history (id INTEGER PRIMARY KEY);
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
			INSERT INTO account SELECT i, 0, hex(randomblob(50)) FROM n;
	`;
	await runOk('sqlite3', ['-bail', file], { input });
}

/** Moves amounts between accounts. */
const loadSqlite = (file: string, seconds: number) =>
	shell(
		`end=$((SECONDS + $2))
		while [ $SECONDS -lt $end ]; do
			echo "BEGIN; UPDATE account SET balance = balance - 7 WHERE id = 1 + $RANDOM % 20000;"
			echo "INSERT INTO history VALUES (NULL);"
			echo "UPDATE account SET balance = balance + 7, note = hex(randomblob(50)) WHERE id = 1 + $RANDOM % 20000; COMMIT;"
		done | sqlite3 -bail -cmd 'PRAGMA synchronous = FULL' "$1"`,
		[file, String(seconds)],
		{ timeoutMs: seconds * 1000 + TIMEOUT_MS },
	);

/** Returns how many transactions the database has. */
async function checkSqlite(file: string): Promise<number> {
	const input = 'PRAGMA integrity_check; SELECT sum(balance) FROM account; SELECT count(*) FROM history;';
	const lines = (await runOk('sqlite3', ['-bail', file], { input })).toString().trim().split('\n');
	const [integrity, sum, count] = lines;
	if (integrity !== 'ok' || sum !== '0') throw new Error(`sqlite: integrity and sum: ${lines.join('; ')}`);
	return Number(count);
}
