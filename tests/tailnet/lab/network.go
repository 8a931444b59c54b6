package main

import (
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// Addresses and ports are fixed because they live in a network namespace of this lab alone.
const (
	hostIP      = "10.99.0.1"
	controlPort = 8080
	// nodePort is where every tailscaled of the lab listens, so that a filter can name it.
	nodePort = 41641
)

// network is the physical side: the bridge, what listens on it, and the nodes' namespaces.
type network struct {
	regions map[string]*region
	dns     *clusterDNS

	mu    sync.Mutex
	hosts map[string]netip.Addr // by node name
}

func newNetwork(dir string) (*network, error) {
	h := &network{hosts: map[string]netip.Addr{}, dns: &clusterDNS{records: map[string]netip.Addr{}}}
	resolv := filepath.Join(dir, "resolv.conf")
	text := "nameserver " + hostIP + "\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	if err := os.WriteFile(resolv, []byte(text), 0o644); err != nil {
		return nil, err
	}
	err := commands(
		"mkdir -p /run/netns",
		"mount -t tmpfs lab /run/netns",
		// A pod asks the cluster's DNS, never the machine's.
		"mount --bind "+resolv+" /etc/resolv.conf",
		"ip link set lo up",
		// Of its own, a bridge takes the lowest address of its ports. A port more may change it, and who knows the old one
		// reaches nothing here until ARP asks again, half a minute later.
		"ip link add br0 address 02:00:00:00:00:01 type bridge",
		"ip addr add "+hostIP+"/24 dev br0",
		"ip link set br0 up",
	)
	if err != nil {
		return nil, err
	}
	if err := h.dns.listen(); err != nil {
		return nil, err
	}
	// The second region answers STUN late, so that the first is everybody's home while it lives.
	h.regions = map[string]*region{
		"nyc": {id: 1, code: "nyc", derpPort: 8443, stunPort: 3478, key: key.NewNode()},
		"sfo": {id: 2, code: "sfo", derpPort: 8444, stunPort: 3479, key: key.NewNode(), latency: 30 * time.Millisecond},
	}
	for _, r := range h.regions {
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func commands(lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

type nodeArgs struct {
	Node string `json:"node"`
}

// addNode makes the namespace of a node and plugs it into the bridge.
func (h *network) addNode(a nodeArgs) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.hosts[a.Node]; ok {
		return nil, fmt.Errorf("there is a node %q already", a.Node)
	}
	n := len(h.hosts) + 1
	ip := netip.AddrFrom4([4]byte{10, 99, 0, byte(10 + n)})
	port := fmt.Sprintf("node%d", n)
	in := "ip -n " + a.Node + " "
	err := commands(
		"ip netns add "+a.Node,
		"ip link add "+port+" type veth peer name eth0 netns "+a.Node,
		"ip link set "+port+" master br0 up",
		in+"link set lo up",
		in+"addr add "+ip.String()+"/24 dev eth0",
		in+"link set eth0 up",
		in+"route add default via "+hostIP,
	)
	if err != nil {
		return nil, err
	}
	h.hosts[a.Node] = ip
	return map[string]string{"ip": ip.String()}, nil
}

type pairArgs struct {
	Node string `json:"node"`
	Peer string `json:"peer"`
}

// blockUDP drops what the two tailscaleds would say to each other directly. The filter sits in the
// namespace of the first alone; the relay and the rest of the network stay reachable.
func (h *network) blockUDP(a pairArgs) (any, error) {
	h.mu.Lock()
	peer, ok := h.hosts[a.Peer]
	h.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no node %q", a.Peer)
	}
	rules := fmt.Sprintf(`
table ip lab_udp {
  chain out { type filter hook output priority 0; }
  chain in { type filter hook input priority 0; }
}
add rule ip lab_udp out ip daddr %[1]s udp dport %[2]d drop
add rule ip lab_udp in ip saddr %[1]s udp sport %[2]d drop
`, peer, nodePort)
	return nil, nft(a.Node, rules)
}

func (h *network) unblockUDP(a nodeArgs) (any, error) {
	return nil, nft(a.Node, "table ip lab_udp\ndelete table ip lab_udp\n")
}

func nft(node, rules string) error {
	cmd := exec.Command("ip", "netns", "exec", node, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

type linkArgs struct {
	Node string `json:"node"`
	Up   bool   `json:"up"`
}

// link pulls the node's cable or puts it back.
func (h *network) link(a linkArgs) (any, error) {
	if !a.Up {
		return nil, commands("ip -n " + a.Node + " link set eth0 down")
	}
	// The kernel forgets the default route with the link.
	return nil, commands(
		"ip -n "+a.Node+" link set eth0 up",
		"ip -n "+a.Node+" route replace default via "+hostIP,
	)
}

type regionArgs struct {
	Region string `json:"region"`
	Up     bool   `json:"up"`
}

func (h *network) region(a regionArgs) (any, error) {
	r, ok := h.regions[a.Region]
	if !ok {
		return nil, fmt.Errorf("no region %q", a.Region)
	}
	if a.Up {
		return nil, r.start()
	}
	r.stop()
	return nil, nil
}

func (h *network) derpMap() *tailcfg.DERPMap {
	m := &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{}}
	for _, r := range h.regions {
		m.Regions[r.id] = r.describe()
	}
	return m
}

type clusterArgs struct {
	Name string `json:"name"`
	IP   string `json:"ip"` // empty: forget the name
}

func (h *network) clusterDNS(a clusterArgs) (any, error) {
	return nil, h.dns.set(a.Name, a.IP)
}

// clusterDNS is what a pod's resolv.conf points at: it knows some names and denies the rest at once.
type clusterDNS struct {
	mu      sync.Mutex
	records map[string]netip.Addr
}

func (d *clusterDNS) set(name, ip string) error {
	name = strings.TrimSuffix(name, ".") + "."
	d.mu.Lock()
	defer d.mu.Unlock()
	if ip == "" {
		delete(d.records, name)
		return nil
	}
	addr, err := netip.ParseAddr(ip)
	d.records[name] = addr
	return err
}

func (d *clusterDNS) listen() error {
	conn, err := net.ListenPacket("udp4", hostIP+":53")
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			reply, err := d.reply(buf[:n])
			if err != nil {
				log.Printf("cluster DNS: %v", err)
				continue
			}
			conn.WriteTo(reply, from)
		}
	}()
	return nil
}

func (d *clusterDNS) reply(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Header.Response = true
	m.Header.RecursionAvailable = true
	m.Header.RCode = dnsmessage.RCodeNameError
	m.Additionals = nil
	for _, q := range m.Questions {
		d.mu.Lock()
		ip, ok := d.records[strings.ToLower(q.Name.String())]
		d.mu.Unlock()
		if !ok {
			continue
		}
		m.Header.RCode = dnsmessage.RCodeSuccess
		if q.Type == dnsmessage.TypeA && ip.Is4() {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5},
				Body:   &dnsmessage.AResource{A: ip.As4()},
			})
		}
	}
	return m.Pack()
}
