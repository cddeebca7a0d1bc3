package elector_test

import (
	"os"
	"strings"
	"testing"
)

// The README's program is a copy of a program that the compiler checks.
func TestTheProgramOfTheReadmeIsTheQuickStart(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	program, err := os.ReadFile("internal/quickstart/main.go")
	must(t, err)
	_, code, _ := strings.Cut(strings.ReplaceAll(string(program), "\t", "    "), "\n")
	if !strings.Contains(string(readme), "```go\n"+code+"```\n") {
		t.Error("README.md: its program differs from internal/quickstart/main.go; copy that file, " +
			"without the first line and with four spaces instead of each tab")
	}
}
