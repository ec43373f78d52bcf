// Go-style durations of hours, minutes and seconds, as the schemas accept them.

const PATTERN = /^(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s)?$/;

/** Milliseconds of `2160h`, `1h30m`, `45s`. Throws RangeError on anything else. */
export function parseDuration(text: string): number {
  const match = PATTERN.exec(text);
  if (!match || text === '') throw new RangeError(`not a duration: ${text}`);
  const [, hours = '0', minutes = '0', seconds = '0'] = match;
  return (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
}

/** Shortest text for whole seconds of a duration in milliseconds: `2160h`, `1h30m`, `45s`. */
export function renderDuration(ms: number): string {
  const total = Math.floor(ms / 1000);
  const parts = [
    [Math.floor(total / 3600), 'h'],
    [Math.floor((total % 3600) / 60), 'm'],
    [total % 60, 's'],
  ] as const;
  return parts.flatMap(([n, unit]) => (n > 0 ? [`${n}${unit}`] : [])).join('') || '0s';
}
