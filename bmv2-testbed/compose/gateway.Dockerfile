# p4evpn's controller, which has its own switch with it: `p4evpn switch`.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /p4evpn ./cmd/p4evpn

FROM debian:bookworm-slim
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends iproute2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /p4evpn /usr/local/bin/p4evpn
ENTRYPOINT ["/usr/local/bin/p4evpn"]
CMD ["run", "-c", "/etc/p4evpn.yaml"]
