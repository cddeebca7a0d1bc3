package elector_test

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// PostgreSQL refuses to run as root; then it runs as this user, who owns nothing else.
const nobody = 65534

// Starts the server, waits for the end of its input, which comes even if the tests are killed, and cleans up.
const serve = `
trap '' INT TERM HUP
"$1/postgres" -D "$2/data" </dev/null >>"$2/log" 2>&1 &
read -r _
kill -QUIT $! 2>/dev/null
wait $!
rm -rf "$2"
`

const settings = `
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
max_connections = 60
shared_buffers = 32MB
dynamic_shared_memory_type = posix
jit = off
logging_collector = off
`

// The URL of a fresh database on a server of the tests' own, or on that of ELECTOR_TEST_POSTGRES, a
// superuser's URL.
func freshDatabase(t *testing.T) string {
	t.Helper()
	server := os.Getenv("ELECTOR_TEST_POSTGRES")
	if server == "" {
		server = startedOnce(t)
	}
	name := fmt.Sprintf("elector_go_%d_%x", os.Getpid(), rand.Uint64())
	database := open(t, server)
	execute(t, database, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, database, "DROP DATABASE "+name+" WITH (FORCE)") })
	fresh, err := url.Parse(server)
	must(t, err)
	fresh.Path = "/" + name
	return fresh.String()
}

func open(t testing.TB, address string) *sql.DB {
	t.Helper()
	database, err := sql.Open("pgx", address)
	must(t, err)
	t.Cleanup(func() { database.Close() })
	return database
}

func execute(t testing.TB, on interface {
	Exec(string, ...any) (sql.Result, error)
}, statement string, values ...any) {
	t.Helper()
	_, err := on.Exec(statement, values...)
	must(t, err)
}

var server struct {
	sync.Mutex
	address string
	// Open for as long as this process lives.
	input io.WriteCloser
}

func startedOnce(t *testing.T) string {
	t.Helper()
	server.Lock()
	defer server.Unlock()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if server.address == "" && len(found) == 0 {
		const hint = "no PostgreSQL: install the package postgresql, or set ELECTOR_TEST_POSTGRES"
		if os.Getenv("ELECTOR_TEST_ALL") != "" {
			t.Fatal(hint)
		}
		t.Skip(hint)
	}
	for tries := 0; server.address == ""; tries++ {
		if err := start(t, found[0]); err != nil && tries == 5 {
			t.Fatal(err)
		}
	}
	return server.address
}

// Makes a cluster and starts its server on a port that was free just now.
func start(t *testing.T, programs string) error {
	directory, err := os.MkdirTemp("", "elector-go-")
	must(t, err)
	if os.Geteuid() == 0 {
		must(t, os.Chown(directory, nobody, nobody))
	}
	made, err := unprivileged(programs+"/initdb", "-D", directory+"/data",
		"-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C").CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, made)
	}
	// Outside the range from which the system draws the ports of clients.
	port := 15_000 + rand.IntN(17_000)
	own := fmt.Sprintf("%sport = %d\nunix_socket_directories = '%s'\n", settings, port, directory)
	must(t, os.WriteFile(directory+"/data/postgresql.conf", []byte(own), 0o600))
	watch := unprivileged("/bin/sh", "-c", serve, "serve", programs, directory)
	input, err := watch.StdinPipe()
	must(t, err)
	must(t, watch.Start())
	address := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port)
	database, err := sql.Open("pgx", address)
	must(t, err)
	defer database.Close()
	for deadline := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		// Another server may have taken the port; then this one has ended.
		var found string
		err := database.QueryRow("SHOW data_directory").Scan(&found)
		if err == nil && found == directory+"/data" {
			server.address, server.input = address, input
			return nil
		}
		log, _ := os.ReadFile(directory + "/log")
		if time.Now().After(deadline) || strings.Contains(string(log), "could not create any TCP/IP sockets") {
			input.Close()
			return fmt.Errorf("the server does not start: %v\n%s", err, log)
		}
	}
}

// A command that runs as an ordinary user, in a group of its own, with nobody's settings.
func unprivileged(program string, arguments ...string) *exec.Cmd {
	command := exec.Command(program, arguments...)
	command.Dir = "/"
	command.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return command
}

// A way to the server that can be cut so that neither side notices: what is sent does not arrive.
type proxy struct {
	listener net.Listener
	holds    atomic.Bool
}

// Starts one; gives also the URL through it.
func startProxy(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	through, err := url.Parse(address)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: listener}
	t.Cleanup(func() { listener.Close() })
	server := through.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(t, client, server)
		}
	}()
	through.Host = listener.Addr().String()
	return p, through.String()
}

func (p *proxy) serve(t *testing.T, client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		client.Close()
		return
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	pass := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 1<<16)
		for {
			count, err := from.Read(buffer)
			for p.holds.Load() {
				time.Sleep(time.Millisecond)
			}
			if _, failed := to.Write(buffer[:count]); err != nil || failed != nil {
				return
			}
		}
	}
	go pass(server, client)
	pass(client, server)
}
