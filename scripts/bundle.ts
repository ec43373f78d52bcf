// Makes dist/: the program as one file, its bill of materials, and the licences of what it contains.
//   npm run bundle
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle, ROOT } from './image/bundle.ts';

const folder = join(ROOT, 'dist');
const files = await bundle();
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
for (const [name, content] of files) {
  writeFileSync(join(folder, name), content);
  console.log(`dist/${name}: ${(Buffer.byteLength(content) / 1e6).toFixed(2)} MB`);
}
