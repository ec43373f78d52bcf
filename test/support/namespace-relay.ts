// Runs inside a network namespace: each port given leads to a socket in the file system. Arguments: address, then port=path.
import { connect, createServer } from 'node:net';

const [address = '', ...routes] = process.argv.slice(2);

await Promise.all(
  routes.map((route) => {
    const [port, path = ''] = route.split('=');
    const server = createServer((outer) => {
      const inner = connect(path);
      inner.on('error', () => outer.destroy());
      outer.on('error', () => inner.destroy());
      outer.pipe(inner).pipe(outer);
    });
    return new Promise<void>((resolve) => server.listen(Number(port), address, resolve));
  }),
);
process.stdout.write('relaying\n');
