package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
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
