/** `node build/images/main.js DIRECTORY`: builds every image of the matrix into a directory, named by its kind. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage, matrix } from './matrix.ts';

const directory = process.argv[2];
if (!directory) {
	console.error('usage: node build/images/main.js DIRECTORY');
	process.exit(2);
}
mkdirSync(directory, { recursive: true });
for (const name of Object.keys(matrix)) {
	const fileName = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
	await buildImage(name, join(directory, `${fileName}.img`));
	console.log(`${fileName}.img`);
}
