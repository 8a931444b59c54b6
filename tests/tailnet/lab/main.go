// Command lab is what surrounds the nodes of a test tailnet: a control server, two DERP regions
// with STUN, a cluster DNS, and the network namespaces and processes of the nodes.
//
// It is meant to be the first process of a PID namespace of its own. It takes commands as JSON lines
// on standard input, answers with JSON lines on standard output, and exits when its input ends; the
// kernel then kills every process of the namespace, and the network namespaces go with them. So
// nothing that it made can outlive the test that started it.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
)

type request struct {
	ID int64  `json:"id"`
	Op string `json:"op"`
}

type answer struct {
	ID     int64  `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

type lab struct {
	*network
	*control
	*processes
}

func main() {
	dir := flag.String("dir", "", "folder for files that the lab makes")
	url := flag.String("fetch", "", "fetch this URL, print the answer as JSON, and exit")
	name := flag.String("resolve", "", "ask --server for addresses of this name, print them, and exit")
	dns := flag.String("server", "", "which DNS server to ask")
	kind := flag.String("type", "A", "A or AAAA")
	addr := flag.String("hold", "", "hold connections to this address until killed")
	count := flag.Int("count", 1, "how many connections to hold")
	flag.Parse()
	log.SetPrefix("lab: ")
	switch {
	case *url != "":
		exitWith(fetch(*url))
	case *name != "":
		exitWith(resolve(*dns, *name, *kind))
	case *addr != "":
		exitWith(hold(*addr, *count))
	}
	l, err := start(*dir)
	if err != nil {
		log.Fatal(err)
	}
	serve(l)
}

func exitWith(err error) {
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}

func start(dir string) (*lab, error) {
	h, err := newNetwork(dir)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	w, err := newControl(h)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return &lab{h, w, newProcesses()}, nil
}

// serve answers each command on its own: one that waits does not hold up the others.
func serve(l *lab) {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		go func() {
			a := l.answer(line)
			mu.Lock()
			defer mu.Unlock()
			out.Encode(a)
		}()
	}
}

func (l *lab) answer(line []byte) answer {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return answer{Error: fmt.Sprintf("not a command: %v", err)}
	}
	result, err := l.do(r.Op, line)
	if err != nil {
		return answer{ID: r.ID, Error: fmt.Sprintf("%s: %v", r.Op, err)}
	}
	if result == nil {
		result = struct{}{}
	}
	return answer{ID: r.ID, Result: result}
}

// do finds the method of a command; each has a struct of its own for what it takes.
func (l *lab) do(op string, line []byte) (any, error) {
	switch op {
	case "add_node":
		return with(line, l.addNode)
	case "block_udp":
		return with(line, l.blockUDP)
	case "unblock_udp":
		return with(line, l.unblockUDP)
	case "link":
		return with(line, l.link)
	case "cluster_dns":
		return with(line, l.clusterDNS)
	case "region":
		return with(line, l.region)

	case "nodes":
		return with(line, l.nodes)
	case "show":
		return with(line, l.show)
	case "deny":
		return with(line, l.deny)
	case "expire":
		return with(line, l.expire)
	case "register":
		return with(line, l.register)
	case "tailnet":
		return with(line, l.setTailnet)
	case "relay_grants":
		return with(line, l.relayGrants)
	case "records":
		return with(line, l.setRecords)
	case "service":
		return with(line, l.setService)

	case "spawn":
		return with(line, l.spawn)
	case "run":
		return with(line, l.run)
	case "signal":
		return with(line, l.signal)
	case "wait":
		return with(line, l.wait)
	case "usage":
		return with(line, l.usage)
	case "probe":
		return with(line, probe)
	}
	return nil, fmt.Errorf("no such command")
}

func with[T any](line []byte, f func(T) (any, error)) (any, error) {
	var args T
	if err := json.Unmarshal(line, &args); err != nil {
		return nil, err
	}
	return f(args)
}
