package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repository is the repository's folder. Tests run in the folder of their package; the variable is set before one of
// them leaves it.
var repository = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "..", "..")
}()

var block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks returns the README's blocks of one language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	var found []string
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		if b[1] == language {
			found = append(found, b[2])
		}
	}
	return found
}

func TestEveryBlockOfTheReadmeHasItsTest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	count := map[string]int{}
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		count[b[1]]++
	}
	fences := strings.Count("\n"+string(text), "\n```")
	require.Equal(t, map[string]int{"sh": 5, "text": 3, "go": 10, "properties": 1}, count)
	require.Equal(t, 2*(5+3+10+1), fences, "a block that the tests do not see")
}

func TestTheReadmesCodeIsTheCodeThatTheseTestsRun(t *testing.T) {
	program, err := os.ReadFile(filepath.Join(repository, "examples", "readme", "main.go"))
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(program), "\npackage main\n")
	want := []string{"package main\n" + code}

	snippets, err := os.ReadFile(filepath.Join(repository, "examples", "readme", "snippets_test.go"))
	require.NoError(t, err)
	for _, s := range regexp.MustCompile(`(?ms)^(\t*)// README\n(.*?)^\t*// end$`).FindAllStringSubmatch(
		string(snippets), -1) {
		var dedented strings.Builder
		for line := range strings.Lines(s[2]) {
			dedented.WriteString(strings.TrimPrefix(line, s[1]))
		}
		want = append(want, strings.Trim(dedented.String(), "\n")+"\n")
	}
	require.Equal(t, want, blocks(t, "go"))
}

func TestTheReadmesProgramSendsItsRecord(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "greetings"))
	require.NoError(t, err)
	defer broker.Close()
	require.Equal(t, "partition 0, offset 0\n", runLine(t, "go -C examples run ./readme "+broker.ListenAddrs()[0]))
}

// The first command runs as it stands and prints the README's text, except the varying figures. The last one runs this
// test: here it only lists its stages.
func TestTheReadmesCommandsRun(t *testing.T) {
	commands := blocks(t, "sh")
	changing := regexp.MustCompile(`127\.0\.0\.1:\d+|partition \d+|offset \d+|: \d+ records`)
	printed := changing.ReplaceAllString(runLine(t, strings.TrimSpace(commands[0])), "…")
	require.Equal(t, changing.ReplaceAllString(blocks(t, "text")[0], "…"), printed)
	require.Contains(t, runLine(t, strings.TrimSpace(commands[len(commands)-1])+" -list"), "unit")
}

// The commands of a clone run word for word, in a new module with the first program. The clone is a copy of this
// repository.
func TestTheReadmesProgramBuildsWithAClone(t *testing.T) {
	commands := blocks(t, "sh")
	lines := strings.Split(strings.TrimSpace(commands[1]), "\n")
	require.Equal(t, "go get github.com/gosamsa/samsa\n", commands[2])
	require.Equal(t, "git clone https://github.com/gosamsa/samsa ../samsa", lines[0])
	clone := checkout(t)
	module := filepath.Join(filepath.Dir(clone), "app")
	require.NoError(t, os.Mkdir(module, 0o700))
	require.NoError(t, os.Rename(clone, filepath.Join(filepath.Dir(clone), "samsa")))
	require.NoError(t, os.WriteFile(filepath.Join(module, "main.go"), []byte(blocks(t, "go")[0]), 0o600))
	runCommand(t, module, nil, "go", "mod", "init", "example.com/app")
	for _, line := range lines[1:] {
		runCommand(t, module, nil, strings.Fields(line)...)
	}
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	require.NoError(t, err)
	for line := range strings.Lines(blocks(t, "text")[1]) {
		require.Contains(t, string(mod), "\n"+line)
	}

	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "greetings"))
	require.NoError(t, err)
	defer broker.Close()
	require.Equal(t, "partition 0, offset 0\n", runCommand(t, module, nil, "go", "run", ".", broker.ListenAddrs()[0]))
}

// The tests of a user's module get the fake broker of the tests here.
func TestTheReadmesFakeBrokerIsTheOneThatTheseTestsUse(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	for _, module := range strings.Fields(strings.TrimPrefix(blocks(t, "sh")[3], "go get ")) {
		require.Contains(t, string(mod), "\t"+strings.Replace(module, "@", " ", 1)+"\n")
	}
}

// runCommand runs a command in a folder, without a shell, and returns its output.
func runCommand(t *testing.T, dir string, env []string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	// the setting of a fresh checkout, but for env
	cmd.Env = append(append(os.Environ(), "GOWORK=", "GOFLAGS="), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), stderr.String())
	return stdout.String()
}

// runLine runs a command of the README in the repository's folder.
func runLine(t *testing.T, line string) string {
	t.Helper()
	return runCommand(t, repository, nil, strings.Fields(line)...)
}
