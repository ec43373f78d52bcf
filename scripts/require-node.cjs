// Runs before `npm start`, `npm run dev` and `npm test`; CommonJS without new syntax, so that an old Node can still print the advice.
var version = process.versions.node;
if (Number(version.split('.')[0]) < 24) {
  process.stderr.write(
    'countersign needs Node 24 or newer; this is ' +
      version +
      '.\nRun `npm ci` (it installs Node 24 beside the project, which npm scripts then use) and start again with `npm start` or `npm test`.\n',
  );
  process.exit(1);
}
