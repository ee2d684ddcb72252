import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ChunkIndex } from '../../src/diff/chunk-index.ts';
import { EpochTable } from '../../src/diff/epoch-table.ts';
import { RecordTable } from '../../src/diff/record-table.ts';
import { PAGE_BYTES } from '../../src/diff/segment.ts';
import { verifyCopies } from '../../src/service/verify-copies.ts';
import { temporaryDirectory } from '../helpers/temp.ts';

const CHUNK_BYTES = 16384;
const CHUNKS = 300_000;

test('a segment of many chunks that is gone as a whole: its copy is damaged, and that is found out in no time', (t) => {
	const directory = temporaryDirectory(t);
	const imagePath = join(directory, 'image');
	writeFileSync(imagePath, '');
	truncateSync(imagePath, CHUNKS * CHUNK_BYTES);
	const [index, epochs, records] = [ChunkIndex.create(CHUNKS, CHUNKS), EpochTable.create(1), RecordTable.create()];
	epochs.append(1);
	epochs.setLiving(1, true);
	const firstPage = 2;
	const pagesPerChunk = CHUNK_BYTES / PAGE_BYTES;
	for (let chunk = 0; chunk < CHUNKS; chunk++) {
		index.publish(chunk, epochs.locationOf({ epoch: 1, page: firstPage + pagesPerChunk * chunk, isZero: false }));
	}
	const share = { index: index.share, epochs: epochs.share, records: records.share };
	const volume = { volumeId: '00'.repeat(16), volumeSizeBytes: CHUNKS * CHUNK_BYTES, chunkSizeBytes: CHUNK_BYTES };
	const [found, ...others] = verifyCopies(
		{
			volumePath: imagePath,
			diffArea: { directory, ...volume, ...share },
			segments: [{ epoch: 1, lengthBytes: firstPage * PAGE_BYTES + CHUNKS * CHUNK_BYTES }],
			copies: [{ epoch: 1, id: 'id', name: 'name' }],
		},
		() => {},
	);
	t.deepEqual(others, []);
	const { faults, ...rest } = found!;
	t.deepEqual(rest, { id: 'id', name: 'name', state: 'damaged', files: [], otherBlocks: 0 });
	t.is(faults.length, 2);
	t.regex(faults[0]!, /epoch-00000001\.segment: cannot be opened: ENOENT/);
	t.regex(faults[1]!, /its file system cannot be read: .*epoch-00000001\.segment/);
});
