// Alerts, runbooks and dashboard speak of metrics and labels that there are.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ALERTS, renderRunbooks } from '../../scripts/generate/alerts.ts';
import { renderDashboard } from '../../scripts/generate/dashboard.ts';
import { createMetrics, type GaugeName, GAUGES } from '../../src/telemetry/metrics.ts';

interface Dashboard {
  panels: {
    id: number;
    type: string;
    title: string;
    gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
    targets?: { expr: string; legendFormat: string }[];
  }[];
  templating: { list: { name: string; definition?: string }[] };
}

const dashboard = JSON.parse(renderDashboard()) as Dashboard;
const targets = dashboard.panels.flatMap((panel) => panel.targets ?? []);
const expressions = [
  ...ALERTS.map(({ expr }) => expr),
  ...targets.map(({ expr }) => expr),
  ...dashboard.templating.list.flatMap(({ definition }) => definition ?? []),
];
/** Added by whoever collects metrics. */
const OF_TARGETS = ['namespace', 'pod', 'job', 'instance'];

/** Labels of every series that the program can show, by its name. */
async function series(): Promise<Map<string, string[]>> {
  const metrics = createMetrics();
  const all = [metrics, metrics.queues, metrics.reflectors].flatMap((group) => Object.values(group) as object[]);
  for (const metric of all) {
    if ('inc' in metric) (metric.inc as () => void)();
    else if ('observe' in metric) (metric.observe as (labels: object, value: number) => void)({}, 1);
  }
  for (const name of Object.keys(GAUGES)) metrics.gauge(name as GaugeName, {}, () => 1);
  metrics.issuerConditions(() => [{ issuer: '', issuer_namespace: '', backend: '', type: '', isTrue: true }]);
  const { body } = await metrics.render();
  metrics.close();
  const found = new Map<string, string[]>();
  for (const [, name = '', labels = ''] of body.matchAll(/^(countersign_\w+)(?:\{([^}]*)\})? /gm))
    found.set(
      name,
      [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label),
    );
  return found;
}

test('every metric and every label of an alert or a panel is one that the program has', async () => {
  const known = await series();
  expect(known.size).toBeGreaterThan(30);
  for (const expr of expressions) {
    const names = [...expr.matchAll(/countersign_\w+/g)].map(([name]) => name);
    expect(names.length, expr).toBeGreaterThan(0);
    for (const name of names) expect([...known.keys()], expr).toContain(name);
    const matchers = [...expr.matchAll(/(\w+)\s*(?:=~|!=|=|!~)\s*"/g)].map(([, label = '']) => label);
    const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) =>
      list.split(',').map((each) => each.trim()),
    );
    const labels = new Set(names.flatMap((name) => known.get(name) ?? []));
    for (const label of [...matchers, ...grouped]) expect([...labels, ...OF_TARGETS], expr).toContain(label);
  }
});

test('a summary and a legend name only labels that their expression keeps', () => {
  const kept = (expr: string) =>
    [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((each) => each.trim()));
  for (const { name, expr, summary } of ALERTS)
    for (const [, label = ''] of summary.matchAll(/\$labels\.(\w+)/g)) expect(kept(expr), name).toContain(label);
  for (const { expr, legendFormat } of targets)
    if (expr.includes(' by ('))
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(kept(expr), expr).toContain(label);
});

test('brackets of expressions are in pairs', () => {
  for (const expr of expressions) {
    const open: string[] = [];
    for (const [sign] of expr.replaceAll(/"[^"]*"/g, '').matchAll(/[()[\]{}]/g)) {
      if ('([{'.includes(sign)) open.push(sign);
      else expect(open.pop(), expr).toBe({ ')': '(', ']': '[', '}': '{' }[sign]);
    }
    expect(open, expr).toEqual([]);
  }
});

test('every alert has a section of its own in the runbooks, with steps, and links lead to sections there are', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/runbooks.md'), 'utf8');
  expect(text).toBe(renderRunbooks());
  const headings = [...text.matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
  expect(headings).toEqual(ALERTS.map(({ name }) => name));
  expect(new Set(headings).size).toBe(headings.length);
  for (const { steps, means } of ALERTS) expect([steps.length > 0, means.length > 0]).toEqual([true, true]);
  const anchors = headings.map((name) => name?.toLowerCase());
  for (const [, anchor = ''] of text.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
});

test('no two panels lie upon each other', () => {
  const taken = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.has(`${x} ${y}`), title).toBe(false);
        taken.add(`${x} ${y}`);
      }
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  }
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
});
