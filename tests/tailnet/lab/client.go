package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// fetch asks one URL from inside a node's namespace, where the test itself is not.
func fetch(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	result, err := answerTo(req, http.DefaultTransport)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

type probeArgs struct {
	URL       string `json:"url"`
	TimeoutMS int64  `json:"timeout_ms"`
}

// probe asks a pod as the kubelet does: from the machine below it, on a connection of its own.
func probe(a probeArgs) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.TimeoutMS)*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", a.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kube-probe/1.33")
	req.Header.Set("Accept", "*/*")
	result, err := answerTo(req, &http.Transport{DisableKeepAlives: true})
	if err != nil {
		return map[string]any{"error": err.Error()}, nil
	}
	return result, nil
}

func answerTo(req *http.Request, transport http.RoundTripper) (map[string]any, error) {
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return map[string]any{"status": res.StatusCode, "body": string(body)}, nil
}

// hold keeps connections to an address open until it is killed, to fill a server with clients.
func hold(addr string, n int) error {
	for range n {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			return err
		}
		go io.Copy(io.Discard, conn)
	}
	fmt.Println("holding", n)
	select {}
}

// resolve asks a DNS server for a name of one type, and prints the addresses, or why there are none.
func resolve(server, name, kind string) error {
	types := map[string]dnsmessage.Type{"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA}
	question := dnsmessage.Message{
		Header: dnsmessage.Header{RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName(strings.TrimSuffix(name, ".") + "."), Type: types[kind], Class: dnsmessage.ClassINET,
		}},
	}
	packet, err := question.Pack()
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout("udp", net.JoinHostPort(server, "53"), 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	var reply dnsmessage.Message
	if err := reply.Unpack(buf[:n]); err != nil {
		return err
	}
	addresses := []string{}
	for _, a := range reply.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			addresses = append(addresses, net.IP(body.A[:]).String())
		case *dnsmessage.AAAAResource:
			addresses = append(addresses, net.IP(body.AAAA[:]).String())
		}
	}
	slices.Sort(addresses)
	if reply.RCode != dnsmessage.RCodeSuccess {
		addresses = []string{strings.TrimPrefix(reply.RCode.String(), "RCode")}
	}
	fmt.Println(strings.Join(addresses, " "))
	return nil
}
