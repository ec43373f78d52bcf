# The image: Node, the libraries it links to, and the program as one file. No shell, no package manager; nothing in it is written to.
#   npm run bundle && docker build --tag countersign .
# NODE_IMAGE is where Node comes from: any image of Debian or Ubuntu with Node at /usr/local/bin/node. For a release give it by digest,
# NODE_IMAGE=docker.io/library/node@sha256:…; `npm run image -- --local` makes one here, for machines without a registry.
ARG NODE_IMAGE=docker.io/library/node:24.22.1-bookworm-slim

FROM ${NODE_IMAGE} AS node
COPY scripts/image/rootfs.sh /rootfs.sh
RUN sh /rootfs.sh /usr/local/bin/node /rootfs

FROM scratch
COPY --from=node /rootfs /
COPY dist /app
# The C library gives memory back: one arena, since those of each thread keep what they freed (some 10 MB, and little is allocated beside
# the main thread); and thresholds that stay, since left alone they grow with the pages in which all objects are read at a start (30 MB).
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=1048576
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node", "/app/countersign.mjs"]
CMD ["serve"]
LABEL org.opencontainers.image.title=countersign \
      org.opencontainers.image.description="A Kubernetes operator that embeds an ACME server and signs through the PKI a company already has" \
      org.opencontainers.image.licenses=Apache-2.0
