package elector_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// The URL of a new database, on a server that the tests start, or on the server of ELECTOR_TEST_POSTGRES (the
// URL of a superuser).
func freshDatabase(t *testing.T) string {
	t.Helper()
	address := server(t)
	name := fmt.Sprintf("elector_go_%d_%x", os.Getpid(), rand.Uint64())
	database := open(t, address)
	execute(t, database, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, database, "DROP DATABASE "+name+" WITH (FORCE)") })
	fresh, err := url.Parse(address)
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

// A program of the tests' kit. It ends when its input ends.
type program struct {
	input  io.WriteCloser
	output *bufio.Reader
	// Its first line of output.
	said string
}

// Starts the kit that tests/run.sh has built, or else the kit that cargo builds.
func start(arguments ...string) (program, error) {
	kit := []string{os.Getenv("ELECTOR_TEST_KIT")}
	if kit[0] == "" {
		kit = []string{"cargo", "run", "-q", "--manifest-path", "../../Cargo.toml", "-p", "elector-kit", "--"}
	}
	command := exec.Command(kit[0], append(kit[1:], arguments...)...)
	input, err := command.StdinPipe()
	if err != nil {
		return program{}, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return program{}, err
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		return program{}, err
	}
	started := program{input: input, output: bufio.NewReader(output)}
	if started.said, err = started.line(); err != nil {
		command.Wait()
		return program{}, fmt.Errorf("%s: %w\n%s", command, err, &stderr)
	}
	return started, nil
}

func (p program) line() (string, error) {
	line, err := p.output.ReadString('\n')
	return strings.TrimSpace(line), err
}

// Sends a line to the program, and waits until the program has executed it.
func (p program) send(t *testing.T, line string) {
	t.Helper()
	_, err := fmt.Fprintln(p.input, line)
	must(t, err)
	_, err = p.line()
	must(t, err)
}

// The server runs until this process ends.
var postgres = sync.OnceValues(func() (program, error) { return start("postgres") })

func server(t *testing.T) string {
	t.Helper()
	started, err := postgres()
	if err != nil {
		const hint = "no PostgreSQL: install the package postgresql, or set ELECTOR_TEST_POSTGRES"
		if os.Getenv("ELECTOR_TEST_ALL") != "" {
			t.Fatalf("%s\n%v", hint, err)
		}
		t.Skipf("%s\n%v", hint, err)
	}
	return started.said
}

// Starts a proxy to the server that can drop all data without either side noticing. Returns the proxy, and
// the URL that goes through it.
func startProxy(t *testing.T, address string) (program, string) {
	t.Helper()
	through, err := url.Parse(address)
	must(t, err)
	way, err := start("proxy", through.Host)
	must(t, err)
	t.Cleanup(func() { way.input.Close() })
	through.Host = "127.0.0.1:" + way.said
	return way, through.String()
}
