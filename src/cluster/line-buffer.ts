// Cuts a stream of bytes into lines, however the chunks fall.

export interface LineBuffer {
  /** The lines that this chunk completes, without their ends. Throws once a line exceeds the limit. */
  push(chunk: Buffer): string[];
  /** Whether a line has begun. */
  pending(): boolean;
}

export function createLineBuffer(limit: number): LineBuffer {
  let parts: Buffer[] = [];
  let size = 0;

  function keep(part: Buffer): void {
    size += part.length;
    if (size > limit) throw new Error(`a line is longer than ${limit} bytes`);
    if (part.length > 0) parts.push(part);
  }

  return {
    push(chunk) {
      const lines: string[] = [];
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        keep(chunk.subarray(start, end));
        lines.push(
          parts.length === 1 ? (parts[0] as Buffer).toString('utf8') : Buffer.concat(parts, size).toString('utf8'),
        );
        parts = [];
        size = 0;
        start = end + 1;
      }
      keep(chunk.subarray(start));
      return lines;
    },
    pending: () => size > 0,
  };
}
