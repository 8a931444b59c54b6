package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"time"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// region is a DERP server and its STUN. It keeps its key and ports over a restart.
type region struct {
	id       int
	code     string
	derpPort int
	stunPort int
	key      key.NodePrivate
	latency  time.Duration

	mu   sync.Mutex
	derp *derpserver.Server // nil while stopped
	http *httptest.Server
	stun net.PacketConn
}

func (r *region) describe() *tailcfg.DERPRegion {
	return &tailcfg.DERPRegion{
		RegionID:   r.id,
		RegionCode: r.code,
		RegionName: r.code,
		Nodes: []*tailcfg.DERPNode{{
			Name:             fmt.Sprintf("%da", r.id),
			RegionID:         r.id,
			HostName:         hostIP,
			IPv4:             hostIP,
			IPv6:             "none",
			STUNPort:         r.stunPort,
			DERPPort:         r.derpPort,
			STUNTestIP:       hostIP,
			InsecureForTests: true,
		}},
	}
}

func (r *region) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.derp != nil {
		return nil
	}
	conn, err := net.ListenPacket("udp4", fmt.Sprintf("%s:%d", hostIP, r.stunPort))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", hostIP, r.derpPort))
	if err != nil {
		conn.Close()
		return err
	}
	logf := logger.WithPrefix(log.Printf, "derp "+r.code+": ")
	r.derp = derpserver.New(r.key, logf)
	r.http = httptest.NewUnstartedServer(derpserver.Handler(r.derp))
	r.http.Listener.Close()
	r.http.Listener = listener
	r.http.Config.ErrorLog = logger.StdLogger(logf)
	// DERP upgrades an HTTP/1 connection, so HTTP/2 must not be offered.
	r.http.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	r.http.StartTLS()
	r.stun = conn
	go serveSTUN(conn, r.latency)
	return nil
}

func (r *region) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.derp == nil {
		return
	}
	r.stun.Close()
	r.http.Listener.Close()
	// Connections that were upgraded belong to the DERP server, no longer to the HTTP server.
	r.derp.Close()
	r.http.CloseClientConnections()
	r.derp = nil
}

func serveSTUN(conn net.PacketConn, latency time.Duration) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		id, err := stun.ParseBindingRequest(buf[:n])
		if err != nil {
			continue
		}
		addr, err := netip.ParseAddrPort(from.String())
		if err != nil {
			continue
		}
		time.AfterFunc(latency, func() { conn.WriteTo(stun.Response(id, addr), from) })
	}
}
