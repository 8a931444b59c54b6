# telltail's image: one static binary and nothing else, for amd64 and arm64.
#
#   docker build .              or    buildah build --format docker .
#   deploy/release FOLDER       makes both, with labels, list of contents and checksums: see docs/release.md
#
# Only instructions that docker, BuildKit and buildah 1.28 all know.

# Any Debian with gcc, cargo and rustup will do. Whoever publishes pins it by digest (docs/release.md tells how): a tag
# can come to mean another image.
ARG BASE=rust:1.95-slim-bookworm

# The compiler runs on the machine's own processor and builds for the other one: emulated it would take an hour.
FROM --platform=$BUILDPLATFORM $BASE AS build

# Writes into the binary which crates it is made of: otherwise no scanner could tell from a static binary. It is built
# to be there soon, not to run fast: it runs for a moment.
RUN cargo install --locked --debug --root /usr/local/auditable cargo-auditable@0.7.7
ENV PATH=$PATH:/usr/local/auditable/bin

ARG TARGETARCH
# A cross compiler's version follows the base image's Debian, which is pinned.
# hadolint ignore=DL3008
RUN case "$TARGETARCH" in \
      amd64) cpu=x86_64 gcc=x86-64 ;; \
      arm64) cpu=aarch64 gcc=aarch64 ;; \
      *) echo "telltail is built for amd64 and arm64, not for '$TARGETARCH'" >&2; exit 1 ;; \
    esac; \
    echo "$cpu-unknown-linux-gnu" >/target && \
    if [ "$TARGETARCH" != "$(dpkg --print-architecture)" ]; then \
      apt-get update && \
      apt-get install -y --no-install-recommends "gcc-$gcc-linux-gnu" "libc6-dev-$TARGETARCH-cross" && \
      rm -rf /var/lib/apt/lists/*; \
    fi

WORKDIR /src
COPY . .
ARG REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target=$(cat /target) && \
    rustup target add "$target" && \
    TELLTAIL_REVISION=$REVISION cargo auditable ship --target "$target" && \
    cp "target/$target/release/telltail" /telltail

FROM scratch
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="telltail" \
      org.opencontainers.image.description="Tells whether a pod reaches its services over the tailnet, over which path, and whose fault it is when not" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="StackEye" \
      org.opencontainers.image.source="https://github.com/stackeye/telltail" \
      org.opencontainers.image.documentation="https://github.com/stackeye/telltail/blob/main/docs/deploy.md"
COPY --from=build /telltail /telltail
USER 65532:65532
EXPOSE 8245
STOPSIGNAL SIGTERM
# Kubernetes has probes of its own and does not look at this; docker and Compose do.
HEALTHCHECK --interval=10s --timeout=5s --start-period=2m --retries=2 CMD ["/telltail", "health"]
ENTRYPOINT ["/telltail"]
CMD ["run"]
