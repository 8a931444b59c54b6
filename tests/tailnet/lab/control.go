package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

const magicDNSSuffix = "lab.ts.net"

// control is the control plane. testcontrol keeps the nodes; what a node is shown of them is decided
// here, because testcontrol's own way to send something special to a node ends all later updates for
// that node, and is forgotten when the node comes back.
type control struct {
	control *testcontrol.Server

	mu       sync.Mutex
	views    map[string]*view // by the name of the node that looks
	streams  map[key.NodePublic]map[chan struct{}]bool
	lastSeen map[tailcfg.NodeID]time.Time
	records  []tailcfg.DNSRecord
	services map[string]service

	registrations map[string]registration // by host name
	baseDomain    string                  // what MagicDNS names end with; empty: they are bare
	noIPv4        bool                    // no node has an IPv4 address
}

// serviceTags are there because only a tagged node may host a service.
var serviceTags = []string{"tag:service-host"}

// view is how what a node sees differs from what is.
type view struct {
	hidden  map[string]bool      // peers that are not in the map
	offline map[string]bool      // peers that are said to be offline
	expiry  map[string]time.Time // of peers' keys
	self    time.Time            // expiry of the own key
	denied  bool                 // the packet filter matches nobody
}

type service struct {
	IP    netip.Addr
	Hosts []string
}

func newControl(h *network) (*control, error) {
	w := &control{
		views:    map[string]*view{},
		streams:  map[key.NodePublic]map[chan struct{}]bool{},
		lastSeen: map[tailcfg.NodeID]time.Time{},
		services: map[string]service{},

		registrations: map[string]registration{},
		baseDomain:    magicDNSSuffix,
	}
	base := fmt.Sprintf("http://%s:%d", hostIP, controlPort)
	w.control = &testcontrol.Server{
		ExplicitBaseURL: base,
		DERPMap:         h.derpMap(),
		MagicDNSDomain:  magicDNSSuffix,
		DNSConfig:       &tailcfg.DNSConfig{Proxied: true},
		AltMapStream:    w.poll,
	}
	server := &http.Server{Addr: base[len("http://"):], Handler: w.control}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return nil, err
	case <-time.After(20 * time.Millisecond):
		return w, nil
	}
}

// poll serves one map request: a node's update about itself, or the stream of what it is to know.
func (w *control) poll(ctx context.Context, out testcontrol.MapStreamWriter, req *tailcfg.MapRequest) {
	if !req.Stream {
		w.learn(req)
		out.SendMapMessage(&tailcfg.MapResponse{})
		return
	}
	wake := w.open(req.NodeKey)
	defer w.close(req.NodeKey, wake)
	var sent *tailcfg.MapResponse
	keepAlive := time.NewTicker(50 * time.Second)
	defer keepAlive.Stop()
	for {
		want, err := w.picture(req)
		if err != nil {
			return
		}
		if delta := difference(sent, want); delta != nil && out.SendMapMessage(delta) != nil {
			return
		}
		sent = want
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-keepAlive.C:
			if out.SendMapMessage(&tailcfg.MapResponse{KeepAlive: true}) != nil {
				return
			}
		}
	}
}

func (w *control) learn(req *tailcfg.MapRequest) {
	if req.ReadOnly {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	node := w.control.Node(req.NodeKey)
	if node == nil {
		return
	}
	node.Endpoints = slices.DeleteFunc(req.Endpoints, func(e netip.AddrPort) bool { return e.Addr().Is6() })
	node.DiscoKey = req.DiscoKey
	node.Cap = req.Version
	if req.Hostinfo != nil {
		node.Hostinfo = req.Hostinfo.View()
		if ni := req.Hostinfo.NetInfo; ni != nil && ni.PreferredDERP != 0 {
			node.HomeDERP = ni.PreferredDERP
		}
	}
	w.control.UpdateNode(node)
	w.wakeLocked()
}

func (w *control) open(k key.NodePublic) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	wake := make(chan struct{}, 1)
	if w.streams[k] == nil {
		w.streams[k] = map[chan struct{}]bool{}
	}
	w.streams[k][wake] = true
	w.wakeLocked()
	return wake
}

func (w *control) close(k key.NodePublic, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.streams[k], wake)
	if node := w.control.Node(k); node != nil {
		w.lastSeen[node.ID] = time.Now().UTC().Truncate(time.Second)
	}
	w.wakeLocked()
}

func (w *control) wakeLocked() {
	for _, of := range w.streams {
		for wake := range of {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}
}

// picture is the whole map as the node that asks shall see it now.
func (w *control) picture(req *tailcfg.MapRequest) (*tailcfg.MapResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	res, err := w.control.MapResponse(req)
	if err != nil {
		return nil, err
	}
	if res == nil {
		return nil, fmt.Errorf("unknown node %v", req.NodeKey)
	}
	name := nameOf(res.Node)
	v := w.viewLocked(name)
	res.ControlTime = nil
	w.registerOwnLocked(res)
	if !v.self.IsZero() {
		res.Node.KeyExpiry = v.self
	}
	if v.denied {
		res.PacketFilter = []tailcfg.FilterRule{{
			SrcIPs:   []string{"100.127.255.254/32"},
			DstPorts: []tailcfg.NetPortRange{{IP: "*", Ports: tailcfg.PortRangeAny}},
		}}
	}
	res.Peers = slices.DeleteFunc(res.Peers, func(p *tailcfg.Node) bool {
		return v.hidden[nameOf(p)] || w.registrations[nameOf(p)].forgotten
	})
	for _, p := range res.Peers {
		w.registerLocked(p)
		w.paintLocked(p, v)
	}
	res.DNSConfig.ExtraRecords = append(res.DNSConfig.ExtraRecords, w.records...)
	return res, w.addServicesLocked(res)
}

func (w *control) paintLocked(p *tailcfg.Node, v *view) {
	online := len(w.streams[p.Key]) > 0 && !v.offline[nameOf(p)]
	p.Online = &online
	if seen := w.lastSeen[p.ID]; !online && !seen.IsZero() {
		p.LastSeen = &seen
	}
	if t, ok := v.expiry[nameOf(p)]; ok {
		p.KeyExpiry = t
	}
}

func (w *control) addServicesLocked(res *tailcfg.MapResponse) error {
	hosted := tailcfg.ServiceIPMappings{}
	for name, s := range w.services {
		res.DNSConfig.ExtraRecords = append(res.DNSConfig.ExtraRecords, tailcfg.DNSRecord{
			Name:  strings.TrimSuffix(w.fqdnLocked(tailcfg.ServiceName(name).WithoutPrefix()), "."),
			Value: s.IP.String(),
		})
		if slices.Contains(s.Hosts, nameOf(res.Node)) {
			hosted[tailcfg.ServiceName(name)] = []netip.Addr{s.IP}
			res.Node.Tags = serviceTags
		}
		for _, p := range res.Peers {
			if slices.Contains(s.Hosts, nameOf(p)) {
				p.Tags = serviceTags
			}
			// The first host carries the address, as control routes it to one host per client.
			if nameOf(p) == s.Hosts[0] {
				p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(s.IP, s.IP.BitLen()))
			}
		}
	}
	slices.SortStableFunc(res.DNSConfig.ExtraRecords, func(a, b tailcfg.DNSRecord) int {
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	if len(hosted) == 0 {
		return nil
	}
	text, err := json.Marshal(hosted)
	setCap(res.Node, tailcfg.NodeAttrServiceHost, tailcfg.RawMessage(text))
	return err
}

// difference is what a control server would send to somebody who knows the old picture: peers by
// patch where a patch can say it. Nil means that there is nothing to say.
func difference(old, now *tailcfg.MapResponse) *tailcfg.MapResponse {
	// tailscaled judges expiry by this time alone, not by its own clock.
	at := time.Now().UTC()
	if old == nil {
		first := *now
		first.ControlTime = &at
		return &first
	}
	delta := &tailcfg.MapResponse{ControlTime: &at}
	changed := false
	if old.Domain != now.Domain {
		delta.Domain, changed = now.Domain, true
	}
	if !same(old.Node, now.Node) {
		delta.Node, changed = now.Node, true
	}
	if !same(old.PacketFilter, now.PacketFilter) {
		delta.PacketFilter, changed = now.PacketFilter, true
	}
	if !same(old.DNSConfig, now.DNSConfig) {
		delta.DNSConfig, changed = now.DNSConfig, true
	}
	if peersDiffer(delta, old.Peers, now.Peers) {
		delta.UserProfiles, changed = now.UserProfiles, true
	}
	if !changed {
		return nil
	}
	return delta
}

func peersDiffer(delta *tailcfg.MapResponse, old, now []*tailcfg.Node) bool {
	known := map[tailcfg.NodeID]*tailcfg.Node{}
	for _, p := range old {
		known[p.ID] = p
	}
	for _, p := range now {
		before := known[p.ID]
		delete(known, p.ID)
		switch {
		case before == nil || !same(lasting(before), lasting(p)) || revived(before, p):
			delta.PeersChanged = append(delta.PeersChanged, p)
		case !same(before, p):
			delta.PeersChangedPatch = append(delta.PeersChangedPatch, &tailcfg.PeerChange{
				NodeID: p.ID, Online: p.Online, LastSeen: p.LastSeen, KeyExpiry: &p.KeyExpiry,
			})
		}
	}
	for id := range known {
		delta.PeersRemoved = append(delta.PeersRemoved, id)
	}
	return len(delta.PeersChanged)+len(delta.PeersChangedPatch)+len(delta.PeersRemoved) > 0
}

// revived says whether a key that had expired is good again. tailscaled has spoilt its copy of such a
// key, which only the whole node repairs.
func revived(old, now *tailcfg.Node) bool {
	return !old.KeyExpiry.IsZero() && !old.KeyExpiry.Equal(now.KeyExpiry)
}

// lasting is a node without what comes and goes.
func lasting(n *tailcfg.Node) *tailcfg.Node {
	c := n.Clone()
	c.Online, c.LastSeen, c.KeyExpiry = nil, nil, time.Time{}
	return c
}

func same(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

func nameOf(n *tailcfg.Node) string { return n.Hostinfo.Hostname() }

func (w *control) viewLocked(name string) *view {
	v := w.views[name]
	if v == nil {
		v = &view{hidden: map[string]bool{}, offline: map[string]bool{}, expiry: map[string]time.Time{}}
		w.views[name] = v
	}
	return v
}

// change alters what a node sees and tells everybody whom it concerns.
func (w *control) change(f func()) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.wakeLocked()
	return nil, nil
}

func (w *control) nodes(struct{}) (any, error) {
	type row struct {
		Name      string           `json:"name"`
		FQDN      string           `json:"fqdn"`
		Addresses []netip.Prefix   `json:"addresses"`
		Endpoints []netip.AddrPort `json:"endpoints"`
		HomeDERP  int              `json:"home_derp"`
		Polling   bool             `json:"polling"`
	}
	rows := []row{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.control.AllNodes() {
		rows = append(rows, row{nameOf(n), n.Name, n.Addresses, n.Endpoints, n.HomeDERP, len(w.streams[n.Key]) > 0})
	}
	return rows, nil
}

type showArgs struct {
	Node    string `json:"node"`
	Peer    string `json:"peer"`
	Hidden  *bool  `json:"hidden"`
	Offline *bool  `json:"offline"`
}

// show hides a peer from a node or calls it offline; a field that is absent changes nothing.
func (w *control) show(a showArgs) (any, error) {
	return w.change(func() {
		v := w.viewLocked(a.Node)
		if a.Hidden != nil {
			v.hidden[a.Peer] = *a.Hidden
		}
		if a.Offline != nil {
			v.offline[a.Peer] = *a.Offline
		}
	})
}

type denyArgs struct {
	Node string `json:"node"`
	On   bool   `json:"on"`
}

func (w *control) deny(a denyArgs) (any, error) {
	return w.change(func() { w.viewLocked(a.Node).denied = a.On })
}

type expireArgs struct {
	Node string `json:"node"`
	Peer string `json:"peer"`    // empty: the node's own key
	In   *int64 `json:"in_secs"` // absent: the key never expires
}

func (w *control) expire(a expireArgs) (any, error) {
	return w.change(func() {
		v := w.viewLocked(a.Node)
		var at time.Time
		if a.In != nil {
			at = time.Now().UTC().Truncate(time.Second).Add(time.Duration(*a.In) * time.Second)
		}
		switch {
		case a.Peer == "":
			v.self = at
		case at.IsZero():
			delete(v.expiry, a.Peer)
		default:
			v.expiry[a.Peer] = at
		}
	})
}

type switchArgs struct {
	On bool `json:"on"`
}

func (w *control) relayGrants(a switchArgs) (any, error) {
	return w.change(func() { w.control.PeerRelayGrants = a.On })
}

type recordsArgs struct {
	Records []tailcfg.DNSRecord `json:"records"`
}

func (w *control) setRecords(a recordsArgs) (any, error) {
	return w.change(func() { w.records = a.Records })
}

type serviceArgs struct {
	Name  string     `json:"name"` // svc:NAME
	IP    netip.Addr `json:"ip"`
	Hosts []string   `json:"hosts"` // empty: the service goes away
}

func (w *control) setService(a serviceArgs) (any, error) {
	if err := tailcfg.ServiceName(a.Name).Validate(); err != nil {
		return nil, err
	}
	return w.change(func() {
		if len(a.Hosts) == 0 {
			delete(w.services, a.Name)
			return
		}
		w.services[a.Name] = service{a.IP, a.Hosts}
	})
}
