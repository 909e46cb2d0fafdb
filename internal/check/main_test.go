package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helper()
	}
	goleak.VerifyTestMain(m)
}

func TestEveryModuleHasItsStages(t *testing.T) {
	var out bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"-list"}, &out))
	var names []string
	for line := range strings.Lines(out.String()) {
		names = append(names, strings.Fields(line)[0])
	}
	require.Equal(t, []string{"format", "docs", "words", "vet", "tidy", "lint", "build", "unit", "unit-386", "simulate",
		"mutate", "fuzz", "bench", "examples", "itest"}, names)

	c := checker{}
	_, err := c.prepare("", "")
	require.NoError(t, err)
	require.Equal(t, []string{".", "bench", "examples", "internal/itest"}, c.modules)
}

func TestTheQuickStagesNeedNothingButGo(t *testing.T) {
	var out bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"-quick", "-list"}, &out))
	require.Regexp(t, `(?m)^unit +the library's tests without the race detector$`, out.String())
	c := checker{quick: true}
	stages, err := c.prepare("", "")
	require.NoError(t, err)
	for _, s := range stages {
		require.Empty(t, s.needs, s.name)
	}
	require.Equal(t, 2, run(t.Context(), []string{"-quick", "-only", "itest"}, &out))
}

func TestEveryStageIsExplainedToContributors(t *testing.T) {
	c := checker{}
	stages, err := c.prepare("", "")
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(c.root, "CONTRIBUTING.md"))
	require.NoError(t, err)
	for _, s := range stages {
		require.Contains(t, string(page), "\n| "+s.name+" | ")
	}
}

func TestAStageThatIsNotThereIsRefused(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, 2, run(t.Context(), []string{"-only", "format,foo"}, &out))
	require.Contains(t, out.String(), `there is no stage "foo"; there are format, docs,`)
	require.Equal(t, 2, run(t.Context(), []string{"-fuzz", "("}, &out))
	require.Equal(t, 2, run(t.Context(), []string{"-nonsense"}, &out))
}

func TestStagesRunInTheirOwnOrder(t *testing.T) {
	chosen, err := choose([]stage{{name: "a"}, {name: "b"}, {name: "c"}}, "c, a")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, []string{chosen[0].name, chosen[1].name})
}

func TestAFailureDoesNotHideLaterStages(t *testing.T) {
	var out bytes.Buffer
	c := checker{ctx: t.Context(), out: &out}
	ran := 0
	passes := func() error { ran++; return nil }
	code := c.runAll([]stage{
		{name: "a", run: passes}, {name: "b", run: func() error { ran++; return errors.New("b's reason") }},
		{name: "c", run: passes},
	})
	require.Equal(t, 1, code)
	require.Equal(t, 3, ran)
	require.Contains(t, out.String(), "b's reason\n--- b FAILED in ")
	require.True(t, strings.HasSuffix(out.String(), "\n2 passed, 1 failed\n"), out.String())

	out.Reset()
	require.Zero(t, c.runAll([]stage{{name: "a", run: passes}}))
	require.True(t, strings.HasSuffix(out.String(), "\n1 passed, 0 failed\n"), out.String())
}

func TestInterruptedStagesAreNotPassed(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	c := checker{ctx: ctx, out: &out}
	code := c.runAll([]stage{
		{name: "a", run: func() error { return nil }}, {name: "b", run: func() error { cancel(); return nil }},
		{name: "c"},
	})
	require.Equal(t, 1, code)
	require.Regexp(t, `(?m)^b +FAILED .*\nc +not run `, out.String())
	require.True(t, strings.HasSuffix(out.String(), "\n1 passed, 2 failed\n"), out.String())
}

func TestTemporaryFilesGoUnlessAFailureWantsToBeLookedAt(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	for fails, kept := range map[bool]int{true: 1, false: 0} {
		c := checker{ctx: t.Context(), out: io.Discard}
		c.runAll([]stage{{name: "a", run: func() error {
			if err := os.WriteFile(filepath.Join(c.temp, "left"), nil, 0o600); err != nil || !fails {
				return err
			}
			return errors.New("it failed")
		}}})
		left, err := filepath.Glob(filepath.Join(os.TempDir(), "samsa-check-*", "left"))
		require.NoError(t, err)
		require.Len(t, left, kept)
		require.NoError(t, os.RemoveAll(c.temp))
	}
}

func TestAMissingToolFailsItsStageAndSaysHowToGetIt(t *testing.T) {
	t.Setenv("PATH", goOnly(t))
	t.Setenv("JAVA_HOME", "")
	t.Setenv("CC", "no-such-compiler")
	for cure, need := range map[string]tool{"openjdk-17-jdk-headless": java, "apt-get install maven": maven,
		"apt-get install gcc": cCompiler} {
		var out bytes.Buffer
		c := checker{ctx: t.Context(), out: &out}
		require.Equal(t, 1, c.runAll([]stage{{name: "s", needs: []tool{need},
			run: func() error { panic("it cannot run") }}}))
		require.Contains(t, out.String(), cure)
	}
}

// goOnly returns a folder with go as its only program.
func goOnly(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("go")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(program, filepath.Join(dir, filepath.Base(program))))
	return dir
}

func TestAnOldJavaDiffersFromANewOne(t *testing.T) {
	require.NoError(t, checkJava(`openjdk version "17.0.15" 2025-04-15`))
	require.NoError(t, checkJava(`openjdk version "25" 2025-09-16`))
	require.ErrorContains(t, checkJava(`java version "1.8.0_402"`), "java 8 is too old")
	require.ErrorContains(t, checkJava("Unable to locate a Java Runtime"), "prints no version")
}

func TestFuzzTargetsAreReadFromGoTestsList(t *testing.T) {
	listed := "FuzzA\nFuzzB\nok  \texample.org/one\t0.012s\n?   \texample.org/none\t[no test files]\nok  \texample.org/two\t0.1s\nFuzzC\nok  \texample.org/three\t0.1s\n"
	require.Equal(t, []fuzzTarget{{"example.org/one", "FuzzA"}, {"example.org/one", "FuzzB"},
		{"example.org/three", "FuzzC"}}, parseFuzzList(listed))
}

func TestOnlyATimeThatIsOverExcusesAFuzzTarget(t *testing.T) {
	const over = "--- FAIL: FuzzA (3.02s)\n    context deadline exceeded\nFAIL\n"
	require.True(t, endedByTime(over))
	require.False(t, endedByTime(over+"Failing input written to testdata/fuzz/FuzzA/582528ddfad69eb5\n"))
	require.False(t, endedByTime("--- FAIL: FuzzA (3.02s)\n    panic: boom\n"))
}

func TestUnwantedWordsAndPathsAreFoundWithTheirLine(t *testing.T) {
	marker, home := "TO"+"DO", "/ho"+"me/ann/"
	require.EqualError(t, strayBinary("check"), "check: a binary file outside testdata: delete it")
	require.Error(t, strayBinary("producer/testdata.bin"))
	for _, name := range []string{"record/testdata/batch.bin", "testdata/x", "producer/producer.test", "cpu.prof"} {
		require.NoError(t, strayBinary(name))
	}
	errs := unwanted("a.go", "fine\n// "+marker+": later\nsee "+home+"notes\nhttps://example.org"+home+"x\n")
	require.Equal(t, "[a.go:2: unfinished: "+marker+" a.go:3: a path of somebody's machine:  "+home+"]",
		fmt.Sprint(errs))
}

func TestBrokenLinksAreFound(t *testing.T) {
	c := checker{root: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(c.root, "there.md"), nil, 0o600))
	page := "# A `fine` heading\n[a](there.md) [b](https://example.org/x) [c](#a-fine-heading) [d](#another) [e](gone.md#part)\n"
	require.Equal(t, "[README.md: there is no heading #another README.md: there is no gone.md]",
		fmt.Sprint(c.brokenLinks("README.md", page)))
}

func TestRowsThatNothingShowsAreFound(t *testing.T) {
	known := map[string]bool{"sender.TestThere": true}
	page := "| behaviour | shown by |\n|---|---|\n| a | `sender.TestThere` |\n| b | [story](x) |\n| c | `sender.TestGone`, `sender.TestThere` |\n| d | |\n"
	require.Equal(t, "[p.md:5: there is no test sender.TestGone p.md:6: nothing shows this]",
		fmt.Sprint(unshown("p.md", page, known)))
}

func TestStoriesThatThePageOfBehavioursLacksAreFound(t *testing.T) {
	c := checker{root: t.TempDir()}
	put := func(name, text string) {
		file := filepath.Join(c.root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	put("sender/x_test.go", "package sender\n\nfunc TestThere(t *testing.T) {\n}\n")
	put(storiesFolder+"/told", "")
	put(storiesFolder+"/forgotten", "")
	put(behavioursPage, "| a | [told](../"+storiesFolder+"/told), `sender.TestThere` |\n")
	require.Equal(t, "["+behavioursPage+" does not name the story forgotten]", fmt.Sprint(c.behaviours()))
}
