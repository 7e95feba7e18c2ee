# One image, one binary: the role is the argument (`serve auth`, `migrate`, `health gateway`).
#
#   docker build -t touchstone .
#   docker run --rm -p 127.0.0.1:8000:8000 -v touchstone:/data touchstone
#
# Nothing but the two `FROM` images and crates.io is fetched; README "Deploy" says how to build
# without a network.
ARG RUST_IMAGE=rust:1.95-bookworm

# What decides about dependencies, and nothing else: manifests, the lock, vendored crates. Every crate
# becomes an empty one. While these stay the same, the layer with the built dependencies is kept.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN find . \( -path ./vendor -o -path ./.cargo \) -prune -o \
      -type f ! -name Cargo.toml ! -name Cargo.lock -exec rm {} + \
 && find . \( -path ./vendor -o -path ./.cargo \) -prune -o \
      -type f -name Cargo.toml -execdir sh -c \
        'mkdir -p src && touch src/lib.rs && echo "fn main() { }" > src/main.rs' \;

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --locked --profile dist --package touchstone-stack --bin touchstone
COPY . .
# Sources may be older than the empty crates that were just built.
RUN find services shared tests -name '*.rs' -exec touch {} + \
 && cargo build --locked --profile dist --package touchstone-stack --bin touchstone

# The root of the final image: the binary, the libraries that it is linked with, certificates.
WORKDIR /rootfs
RUN install -D -m 0755 /src/target/dist/touchstone usr/local/bin/touchstone \
 && ldd usr/local/bin/touchstone \
      | awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' \
      | xargs -I{} cp -L --parents {} . \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ca-certificates.crt \
 && install -D -m 0644 /src/LICENSE usr/share/licenses/touchstone/LICENSE \
 && echo 'touchstone:x:10001:10001:touchstone:/data:/nonexistent' > etc/passwd \
 && echo 'touchstone:x:10001:' > etc/group \
 && echo 'hosts: files dns' > etc/nsswitch.conf \
 && install -d -m 1777 tmp \
 && install -d -m 0750 /owned/data

# No shell, no package manager, no root.
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Touchstone" \
      org.opencontainers.image.description="A reference RAG stack, made to be deployed, loaded, broken and read" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs /
COPY --from=build --chown=10001:10001 /owned /
USER 10001:10001
WORKDIR /data
ENV HOST=0.0.0.0 \
    DATA_DIR=/data \
    LOG_FORMAT=json \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 8000 8001 8002 8003 8004 8005 8006 8007 8009
STOPSIGNAL SIGTERM
# The whole stack is well when its gateway is. A container of one service names it: `health auth`.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/touchstone", "health"]
ENTRYPOINT ["/usr/local/bin/touchstone"]
CMD ["up"]
