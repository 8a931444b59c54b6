package main

import (
	"net/netip"
	"slices"
	"strings"

	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
)

// registration is what the tailnet's admin has made of a node, beyond what the node says of itself.
// Everybody sees it so, the node included.
type registration struct {
	name      string         // MagicDNS name: a label, or a whole name in another domain; empty: the host name
	routes    []netip.Prefix // what it carries beside its own addresses
	noIPv4    bool
	forgotten bool // nobody knows it any more; it itself is not told
}

// fqdnLocked is the Node.Name of a label under the base domain. Where there is none, it ends without a dot,
// as headscale sends it.
func (w *control) fqdnLocked(label string) string {
	switch {
	case strings.Contains(label, "."):
		return label + "."
	case w.baseDomain == "":
		return label
	}
	return label + "." + w.baseDomain + "."
}

func (w *control) registerLocked(n *tailcfg.Node) {
	r := w.registrations[nameOf(n)]
	n.Name = w.fqdnLocked(nameOf(n))
	if r.name != "" {
		n.Name = w.fqdnLocked(r.name)
	}
	if w.noIPv4Locked(n) {
		n.Addresses = withoutIPv4(n.Addresses)
		n.AllowedIPs = withoutIPv4(n.AllowedIPs)
	}
	n.AllowedIPs = slices.Concat(n.AllowedIPs, r.routes)
	for _, route := range r.routes {
		// Exit routes are nobody's in particular.
		if route.Bits() > 0 {
			n.PrimaryRoutes = append(n.PrimaryRoutes, route)
		}
	}
}

// registerOwnLocked is registerLocked for the node that asks, and what only that node is told.
func (w *control) registerOwnLocked(res *tailcfg.MapResponse) {
	w.registerLocked(res.Node)
	if w.noIPv4Locked(res.Node) {
		setCap(res.Node, "disable-ipv4")
	}
	res.DNSConfig.Domains = []string{w.baseDomain}
	res.DNSConfig.CertDomains = []string{strings.TrimSuffix(res.Node.Name, ".")}
	if w.baseDomain == magicDNSSuffix {
		return
	}
	// headscale names the tailnet like its base domain. Without one it does not start unless MagicDNS is off.
	res.Domain = w.baseDomain
	if w.baseDomain == "" {
		res.DNSConfig.Proxied = false
		res.DNSConfig.Domains = nil
		res.DNSConfig.CertDomains = nil
	}
}

func (w *control) noIPv4Locked(n *tailcfg.Node) bool {
	return w.noIPv4 || w.registrations[nameOf(n)].noIPv4
}

func withoutIPv4(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), tsaddr.PrefixIs4)
}

func setCap(n *tailcfg.Node, attr tailcfg.NodeCapability, values ...tailcfg.RawMessage) {
	if n.CapMap == nil {
		n.CapMap = tailcfg.NodeCapMap{}
	}
	n.CapMap[attr] = values
}

type registerArgs struct {
	Node      string          `json:"node"`
	Name      *string         `json:"name"`
	Routes    *[]netip.Prefix `json:"routes"`
	NoIPv4    *bool           `json:"no_ipv4"`
	Forgotten *bool           `json:"forgotten"`
}

// register changes what is registered of a node; a field that is absent changes nothing.
func (w *control) register(a registerArgs) (any, error) {
	return w.change(func() {
		r := w.registrations[a.Node]
		set(&r.name, a.Name)
		set(&r.routes, a.Routes)
		set(&r.noIPv4, a.NoIPv4)
		set(&r.forgotten, a.Forgotten)
		w.registrations[a.Node] = r
	})
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

type tailnetArgs struct {
	BaseDomain *string `json:"base_domain"` // empty: none
	NoIPv4     *bool   `json:"no_ipv4"`
	// Keys are asked at every registration, so also when a node that is known starts again.
	AuthKey     *string `json:"auth_key"`    // the only good one; empty: none is needed
	Interactive *bool   `json:"interactive"` // a human has to visit a page
}

// setTailnet changes what holds for all nodes; a field that is absent changes nothing.
func (w *control) setTailnet(a tailnetArgs) (any, error) {
	return w.change(func() {
		set(&w.baseDomain, a.BaseDomain)
		set(&w.noIPv4, a.NoIPv4)
		set(&w.control.RequireAuthKey, a.AuthKey)
		set(&w.control.RequireAuth, a.Interactive)
	})
}
