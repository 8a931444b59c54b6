package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// processes are what runs in the nodes' namespaces, each with a process group of its own.
type processes struct {
	mu   sync.Mutex
	last int
	all  map[int]*process
}

type process struct {
	pid  int
	done chan struct{}
	code int // valid once done is closed; minus the signal's number if one ended it
}

func newProcesses() *processes { return &processes{all: map[int]*process{}} }

type commandArgs struct {
	Node string   `json:"node"`
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Log  string   `json:"log"` // file for both outputs
	User string   `json:"user"`
	// Container makes it the first process of a PID namespace, with a host name of its own, as in a pod.
	Container bool `json:"container"`
}

// command runs with a bare environment, so that a test does not depend on who started it.
func command(a commandArgs) *exec.Cmd {
	argv := []string{"netns", "exec", a.Node}
	if a.User != "" {
		argv = append(argv, "setpriv", "--reuid="+a.User, "--regid="+a.User, "--clear-groups")
	}
	cmd := exec.Command("ip", append(argv, a.Argv...)...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C"}, a.Env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.Container {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	}
	return cmd
}

func (ps *processes) spawn(a commandArgs) (any, error) {
	cmd := command(a)
	log, err := os.OpenFile(a.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		p.code = exitCode(cmd.Wait())
		close(p.done)
	}()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.last++
	ps.all[ps.last] = p
	return map[string]int{"process": ps.last}, nil
}

func (ps *processes) run(a commandArgs) (any, error) {
	cmd := command(a)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if code := exitCode(err); code != noCode {
		return map[string]any{"code": code, "stdout": stdout.String(), "stderr": stderr.String()}, nil
	}
	return nil, err
}

const noCode = 1 << 16

func exitCode(err error) int {
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &exit) {
		return noCode
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal())
	}
	return exit.ExitCode()
}

func (ps *processes) find(id int) (*process, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.all[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no process %d", id)
}

type signalArgs struct {
	Process int            `json:"process"`
	Signal  syscall.Signal `json:"signal"`
	Group   bool           `json:"group"`
}

func (ps *processes) signal(a signalArgs) (any, error) {
	p, err := ps.find(a.Process)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done: // its number may belong to somebody else by now
		return nil, nil
	default:
	}
	pid := p.pid
	if a.Group {
		pid = -pid
	}
	return nil, syscall.Kill(pid, a.Signal)
}

type processArgs struct {
	Process int  `json:"process"`
	Block   bool `json:"block"`
}

// wait gives the exit code, or null for a process that still runs.
func (ps *processes) wait(a processArgs) (any, error) {
	p, err := ps.find(a.Process)
	if err != nil {
		return nil, err
	}
	if a.Block {
		<-p.done
	}
	select {
	case <-p.done:
		return map[string]any{"code": p.code}, nil
	default:
		return map[string]any{"code": nil}, nil
	}
}

// usage is what a process has cost so far.
func (ps *processes) usage(a processArgs) (any, error) {
	p, err := ps.find(a.Process)
	if err != nil {
		return nil, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return nil, err
	}
	// The name in parentheses may hold anything, so count from behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return n
	}
	const ticksPerSecond = 100
	return map[string]int64{
		"cpu_ms":    (number(11) + number(12)) * 1000 / ticksPerSecond,
		"threads":   number(17),
		"rss_bytes": number(21) * int64(os.Getpagesize()),
	}, nil
}
