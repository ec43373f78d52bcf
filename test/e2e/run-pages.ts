// Pages whose commands the suite `docs` runs, in this order. A page of installing begins where nothing is installed, others where the
// chart is, with its defaults, the last ones where cert-manager is too. The first makes the image that the next ones name.
export const INSTALLING = ['docs/install.md', 'charts/countersign/README.md'];
export const INSTALLED = [
  'docs/first-steps.md',
  'docs/revocation.md',
  'docs/troubleshooting.md',
  'docs/migrate-from-serles.md',
  'docs/migrate-from-acmems.md',
  'docs/backup.md',
];
export const WITH_CERT_MANAGER = ['docs/cert-manager.md'];
export const RUN_PAGES = [...INSTALLING, ...INSTALLED, ...WITH_CERT_MANAGER];
