package goclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a connection to a proxy begins with.
const (
	ways          = "auth ssh reversetunnel web"
	toAuth        = "auth"
	sshAtOnce     = "ssh"
	sshWithinTLS  = "reversetunnel"
	toWeb         = "web"
	relayedSource = "127.0.0.7"
)

// relay stands before a proxy and lets only some kinds of connections through, so that a client that tries all its ways at
// once gets through on one. Its own address is another one than the client's.
type relay struct {
	address string
	mutex   sync.Mutex
	passed  map[string]int
}

// newRelay lets connections of these kinds through to `target`.
func newRelay(t *testing.T, target string, kinds ...string) *relay {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	r := &relay{address: "localhost:" + port, passed: map[string]int{}}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go r.carry(client, target, kinds)
		}
	}()
	return r
}

// through says which kinds have got through.
func (r *relay) through() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var kinds []string
	for kind := range r.passed {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " ")
}

func (r *relay) carry(client net.Conn, target string, kinds []string) {
	defer client.Close()
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	begin, kind, err := beginning(client)
	if err != nil || !slices.Contains(kinds, kind) {
		return
	}
	client.SetReadDeadline(time.Time{})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(relayedSource)}}
	server, err := dialer.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	r.mutex.Lock()
	r.passed[kind]++
	r.mutex.Unlock()
	if _, err := server.Write(begin); err != nil {
		return
	}
	go func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(client, server)
}

var errSeen = errors.New("seen")

// beginning reads a ClientHello or the start of an SSH version.
func beginning(client net.Conn) ([]byte, string, error) {
	recorded := &recorder{Conn: client}
	first := make([]byte, 4)
	if _, err := io.ReadFull(recorded, first); err != nil {
		return nil, "", err
	}
	if string(first) == "SSH-" {
		return recorded.bytes, sshAtOnce, nil
	}
	kind := ""
	replayed := &recorder{Conn: client, replay: first, bytes: recorded.bytes[:0:0]}
	err := tls.Server(replayed, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case slices.Contains(hello.SupportedProtos, "teleport-reversetunnel"):
			kind = sshWithinTLS
		case hello.ServerName == "teleport.cluster.local":
			kind = toAuth
		default:
			kind = toWeb
		}
		return nil, errSeen
	}}).Handshake()
	if kind == "" {
		return nil, "", fmt.Errorf("neither TLS nor SSH: %w", err)
	}
	return replayed.bytes, kind, nil
}

// recorder keeps what is read, and swallows what is written.
type recorder struct {
	net.Conn
	replay []byte
	bytes  []byte
}

func (r *recorder) Read(into []byte) (int, error) {
	n, err := 0, error(nil)
	if len(r.replay) > 0 {
		n = copy(into, r.replay)
		r.replay = r.replay[n:]
	} else {
		n, err = r.Conn.Read(into)
	}
	r.bytes = append(r.bytes, into[:n]...)
	return n, err
}

func (r *recorder) Write(bytes []byte) (int, error) { return len(bytes), nil }
