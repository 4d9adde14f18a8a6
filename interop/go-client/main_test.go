// Package goclient drives a Tessera cluster with the official Go API client, unmodified. `run` starts the cluster and says
// where it is by environment variables.
package goclient

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/trace"
)

// What `run` has prepared.
var (
	address = os.Getenv("TESSERA_ADDR")
	dir     = os.Getenv("TESSERA_DIR")
	cluster = os.Getenv("TESSERA_CLUSTER")
	pin     = os.Getenv("TESSERA_PIN")
)

func TestMain(m *testing.M) {
	if address == "" || dir == "" || cluster == "" || pin == "" {
		fmt.Fprintln(os.Stderr, "no cluster: start these tests with interop/go-client/run")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// failure is what must panics with and step turns into a failed test.
type failure struct {
	where string
	err   error
}

// must gives the value, or ends the running step.
func must[T any](value T, err error) T {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(failure{fmt.Sprintf("%s:%d", filepath.Base(file), line), err})
	}
	return value
}

// done ends the running step if the call failed.
func done(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(failure{fmt.Sprintf("%s:%d", filepath.Base(file), line), err})
	}
}

// guard belongs at the top of a test that calls must or done outside of a step.
func guard(t *testing.T) {
	switch caught := recover().(type) {
	case nil:
	case failure:
		t.Helper()
		t.Fatalf("%s: %v", caught.where, caught.err)
	default:
		panic(caught)
	}
}

// step is a sub-test in which must and done may be used. It gets a context that ends with it.
func step(t *testing.T, name string, body func(t *testing.T, ctx context.Context)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		defer guard(t)
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		body(t, ctx)
	})
}

// refused checks that a call failed with the right kind of error.
func refused(t *testing.T, what string, is func(error) bool, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: the call succeeded", what)
	case !is(err):
		t.Errorf("%s: another kind of error: %T %v", what, trace.Unwrap(err), err)
	}
}

// equal compares two values that print alike when they are alike.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// holds is for claims that have no two sides.
func holds(t *testing.T, what string, claim bool) {
	t.Helper()
	if !claim {
		t.Errorf("not so: %s", what)
	}
}

// eventually repeats a check for a short while.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	var err error
	for time.Now().Before(deadline) {
		if err = check(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%s: still not after 5 s: %v", what, err)
}

// connect makes a client that ends with the test.
func connect(t *testing.T, credentials client.Credentials) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.New(ctx, client.Config{
		Addrs:       []string{address},
		Credentials: []client.Credentials{credentials},
		DialTimeout: 10 * time.Second,
	})
	if err != nil {
		panic(failure{"connect", err})
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// as connects with one of the prepared identity files.
func as(t *testing.T, name string) *client.Client {
	t.Helper()
	return connect(t, client.LoadIdentityFile(file(name+".pem")))
}

func admin(t *testing.T) *client.Client {
	t.Helper()
	return as(t, "admin")
}

func file(name string) string { return filepath.Join(dir, name) }

// names joins the names of resources, for a comparison.
func names[T interface{ GetName() string }](resources []T) string {
	list := make([]string, len(resources))
	for i, resource := range resources {
		list[i] = resource.GetName()
	}
	return strings.Join(list, " ")
}
