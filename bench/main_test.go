package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/bench/client"
	"github.com/gosamsa/samsa/bench/load"
	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// The test binary is its own worker and broker, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "worker" || os.Args[1] == "broker") {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// short are flags for a very short run.
func short(args ...string) []string {
	return append([]string{"-seconds", "0.05", "-warm", "0.05", "-runs", "1"}, args...)
}

func measuredWith(t *testing.T, args ...string) measured {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), short(append(args, "-json")...), nil, &out), out.String())
	var m measured
	require.NoError(t, json.Unmarshal(out.Bytes(), &m), out.String())
	return m
}

// Every client delivers everything: the broker has counted the records, or the run would have failed.
func TestEveryClientRunsEveryWorkload(t *testing.T) {
	all, peers := strings.Join(client.Names(), ","), strings.Join(client.Libraries(), ",")
	for name, args := range map[string][]string{
		"async":         {"-clients", all},
		"one callback":  {"-clients", all, "-mode", "plain"},
		"sync":          {"-clients", all, "-mode", "sync"},
		"at a rate":     {"-clients", all, "-mode", "open", "-rate", "20000"},
		"keys":          {"-clients", all, "-keys", "1000"},
		"tuned":         {"-clients", all, "-tuned"},
		"goroutines":    {"-clients", peers, "-goroutines", "4"},
		"lz4":           {"-clients", peers, "-codec", "lz4", "-size", "1000"},
		"zstd":          {"-clients", peers, "-codec", "zstd", "-size", "1000"},
		"slices":        {"-clients", "samsa", "-mode", "slice"},
		"one batchsize": {"-clients", "samsa,franz-go", "-batch", "200000"},
		"new topics":    {"-clients", "samsa,franz-go", "-mode", "topics", "-known", "50"},
		"partitions":    {"-clients", "samsa,franz-go", "-mode", "each", "-partitions", "50"},
		"brokers":       {"-clients", "samsa,franz-go", "-brokers", "5"},
		"pinned broker": {"-clients", "samsa", "-mode", "sync", "-pinned"},
	} {
		t.Run(name, func(t *testing.T) {
			m := measuredWith(t, args...)
			require.NotEmpty(t, m.Results)
			for name, rs := range m.Results {
				for _, r := range rs {
					require.Zero(t, r.Failed, "%s: %s", name, r.Failure)
					require.Positive(t, r.Rate)
					require.Positive(t, r.Wire)
				}
			}
		})
	}
}

func TestGoroutinesGiveUpOnAFullBuffer(t *testing.T) {
	m := measuredWith(t, "-clients", "samsa,franz-go", "-mode", "blocked", "-deaf", "-size", "1000", "-waiting", "50")
	for _, rs := range m.Results {
		require.Positive(t, rs[0].CPU)
	}
}

func TestARealKafkaIsStartedForTheMeasurement(t *testing.T) {
	m := measuredWith(t, "-clients", "samsa,franz-go", "-kafka", realkafka.DefaultVersion, "-warm-kafka", "0")
	for name, rs := range m.Results {
		require.Zero(t, rs[0].Failed, "%s: %s", name, rs[0].Failure)
		require.Positive(t, rs[0].P50)
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for want, args := range map[string][]string{
		`no client is named "nobody"`:           short("-clients", "nobody"),
		`no mode is named "never"`:              short("-clients", "samsa", "-mode", "never"),
		`compression "brotli"`:                  short("-clients", "samsa", "-codec", "brotli"),
		`no command is named "juggle"`:          {"juggle"},
		`"more" is no flag`:                     short("more"),
		"floor has no call for a slice":         short("-clients", "floor", "-mode", "slice"),
		"wants goroutines, seconds":             short("-clients", "samsa", "-goroutines", "0"),
		"the floor does not compress":           short("-clients", "floor", "-codec", "lz4"),
		"the floor is one goroutine":            short("-clients", "floor", "-goroutines", "2"),
		"invalid value \"x\" for flag -seconds": {"-seconds", "x"},
	} {
		err := run(t.Context(), args, nil, &bytes.Buffer{})
		require.ErrorContains(t, err, want)
	}
}

func TestTheSuiteWritesAPageAndPlots(t *testing.T) {
	folder := t.TempDir()
	data, page := filepath.Join(folder, "results.json"), filepath.Join(folder, "BENCHMARKS.md")
	r := &report{Date: "2026-01-02", Machine: "a machine", Go: "go1.26", Runs: 1,
		Versions: map[string]string{"samsa": "this one", "franz-go": "v1"}}
	for _, s := range sections() {
		done := sectionReport{ID: s.ID, Title: s.Title, About: s.About}
		for _, w := range s.Workloads {
			m := measured{workload: w, Results: map[string][]load.Result{}}
			for i, name := range w.Clients {
				v := float64(i + 1)
				m.Results[name] = []load.Result{{Client: name, Rate: 1e6 / v, CPU: 100 * v, P50: 1e6 * v, P99: 1e7 * v,
					P999: 1e8 * v, Wire: 100, Allocs: v, Alloced: v}}
				if w.Spec.Mode == load.Full {
					m.Results[name] = []load.Result{{Client: name, RSS: 50 << 20}}
				}
			}
			done.Workloads = append(done.Workloads, m)
		}
		r.put(done)
	}
	require.NoError(t, writeJSON(data, r))
	again, err := readReport(data)
	require.NoError(t, err)
	require.Equal(t, r.Sections, again.Sections)

	r.Sections[0].About = "a former description"
	require.NoError(t, writeJSON(data, r))
	r.Sections[0].About = sections()[0].About
	again, err = readReport(data)
	require.NoError(t, err, "the program's own description is the newest")
	require.Equal(t, r.Sections, again.Sections)
	require.NoError(t, writePage(page, filepath.Join(folder, "plots"), again))
	readme := filepath.Join(folder, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte("before\n"+summaryBegin+"old\n"+summaryEnd+"\nafter\n"), 0o644))
	require.NoError(t, writeSummary(readme, again))
	summed, err := os.ReadFile(readme)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(summed), "before\n"+summaryBegin+"| records a second"))
	require.True(t, strings.HasSuffix(string(summed), "|\n"+summaryEnd+"\nafter\n"))
	require.NotContains(t, string(summed), "old")
	for _, row := range summary {
		require.Contains(t, string(summed), "| "+row.title+" | ")
	}
	require.ErrorContains(t, writeSummary(page, again), "bench:begin")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, g := range goals() {
		require.Contains(t, string(text), g.name)
	}
	require.Contains(t, string(text),
		"| async 100 B: CPU a record, of franz-go's | at most 0.5× | 0.5× | 0.5 | reached |")
	require.Contains(t, string(text), "**missed**")
	plots, err := filepath.Glob(filepath.Join(folder, "plots", "*.svg"))
	require.NoError(t, err)
	require.Len(t, plots, 2*(len(sections())-1), "nothing is drawn of the full buffer, which has no rate and no CPU")
	require.Contains(t, string(text), "| samsa | – | – | – | – | – | – | – | – | – | 50 |\n",
		"what was not measured is no zero")
}

// aReport is a whole one: we take so much CPU to franz-go's 100, and are quicker.
func aReport(date string, ours float64) *report {
	r := &report{Date: date}
	for _, s := range sections() {
		r.put(sectionReport{ID: s.ID})
	}
	r.put(sectionReport{ID: "defaults",
		Workloads: []measured{{workload: workload{Name: "100 B"}, Results: map[string][]load.Result{
			"samsa": {{CPU: ours, Rate: 2, P99: 1}}, "franz-go": {{CPU: 100, Rate: 1, P99: 10}},
		}}}})
	return r
}

func TestThreeRunsOfTheSuiteStandBesideEachOther(t *testing.T) {
	data := filepath.Join(t.TempDir(), "results.json")
	for day, ours := range []float64{90, 60, 45, 40} {
		require.NoError(t, keepEarlier(data))
		require.NoFileExists(t, data)
		require.NoError(t, writeJSON(data, aReport(fmt.Sprint("day ", day), ours)))
	}
	r, err := readReports(data)
	require.NoError(t, err)
	var b strings.Builder
	writeGoals(&b, r)
	require.Contains(t, b.String(), "ran 3 times (day 1, day 2, day 3)")
	require.Contains(t, b.String(),
		"| async 100 B: CPU a record, of franz-go's | at most 0.5× | 0.45× | 0.6, 0.45, 0.4 | reached |")
	require.NotContains(t, b.String(), "## Reasons")
	require.Len(t, r.pooled().rounds("defaults", "100 B", "samsa"), 3)

	broken := aReport("day 4", 80)
	broken.Sections = broken.Sections[:3]
	require.NoError(t, writeJSON(data, broken))
	require.NoError(t, keepEarlier(data))
	r, err = readReports(data)
	require.NoError(t, err)
	require.Empty(t, r.Sections)
	require.Len(t, r.earlier, 2, "a run that was broken off takes no other's place")
}

func TestASectionOfASeparateRunNamesItsConditions(t *testing.T) {
	r := &report{}
	r.add(sectionReport{ID: "defaults"}, 5, false)
	require.Equal(t, 5, r.Runs)
	r.add(sectionReport{ID: "tuned"}, 5, true)
	require.Empty(t, r.Sections[1].Apart, "its conditions are the report's")
	r.Date, r.Machine = "2026-01-02", "another machine"
	r.add(sectionReport{ID: "scale", Title: "Scale"}, 3, true)
	require.Equal(t, "2026-01-02, another machine, "+runtime.Version()+", in 5 rounds", r.conditions(),
		"the others were measured so")
	require.Len(t, r.Sections, 3)
	var b strings.Builder
	for _, s := range r.Sections {
		writeSection(&b, s)
	}
	require.Equal(t, 1, strings.Count(b.String(), "These figures come from a separate run: "))
	require.Contains(t, b.String(), machine()+", "+runtime.Version()+", in 3 rounds.")
}

func TestAMissIsExplainedAsFarAsItIsUnderstood(t *testing.T) {
	var b strings.Builder
	writeGoals(&b, aReport("today", 70))
	require.Contains(t, b.String(), "| 0.7× | 0.7 | **missed** |")
	_, why, _ := strings.Cut(b.String(), "## Reasons")
	require.Contains(t, why, "**async 100 B: CPU a record, of franz-go's**: ")
	for _, r := range reasons {
		require.True(t, slices.ContainsFunc(goals(), func(g goal) bool { return strings.HasPrefix(g.name, r.goal) }),
			r.goal)
	}
}

// A minute four times as slow for all clients moves two medians apart, but no ratio.
func TestClientsAreComparedRoundByRound(t *testing.T) {
	r := aReport("today", 0)
	results := r.Sections[0].Workloads[0].Results
	results["samsa"] = []load.Result{{CPU: 40}, {CPU: 160}, {CPU: 160}}
	results["franz-go"] = []load.Result{{CPU: 100}, {CPU: 400}, {CPU: 100}}
	require.Equal(t, []float64{0.4, 0.4, 1.6}, ratio("defaults", "100 B", "franz-go", cpu)(r))
	results["sarama"] = []load.Result{{Rate: 5}, {Rate: 1}, {Rate: 5}}
	results["samsa"] = []load.Result{{Rate: 10}, {Rate: 10}, {Rate: 10}}
	results["franz-go"] = []load.Result{{Rate: 4}, {Rate: 4}, {Rate: 4}}
	require.Equal(t, []float64{2, 10, 2}, best("defaults", "100 B")(r))
	require.Empty(t, ratio("defaults", "100 B", "floor", cpu)(r))
}

func TestAMedianIsOfEachFigureAlone(t *testing.T) {
	m := median([]load.Result{{Rate: 1, CPU: 9}, {Rate: 3, CPU: 5}, {Rate: 2, CPU: 7}})
	require.Equal(t, 2.0, m.Rate)
	require.Equal(t, 7.0, m.CPU)
	require.Equal(t, 1.5, median([]load.Result{{Rate: 1}, {Rate: 2}}).Rate)
	require.Zero(t, median(nil).Rate)
}

func TestTheJavaProducersFiguresAreRead(t *testing.T) {
	r, err := readPerformance(`Warmup first 2000000 records. Steady state results will print after the complete test summary.
5000000 records sent, 558035.714286 records/sec (53.22 MB/sec), 3.45 ms avg latency, 505.00 ms max latency, 3 ms 50th, 10 ms 95th, 18 ms 99th, 33 ms 99.9th.
3000000 steady state records sent, 679963.735267 records/sec (64.85 MB/sec), 2.73 ms avg latency, 28.00 ms max latency, 2 ms 50th, 8 ms 95th, 14 ms 99th, 24 ms 99.9th.
`)
	require.NoError(t, err)
	require.EqualValues(t, 3_000_000, r.Records)
	require.InDelta(t, 679963.735, r.Rate, 0.01)
	require.Equal(t, []float64{2e6, 14e6, 24e6}, []float64{r.P50, r.P99, r.P999})
	_, err = readPerformance("Exception in thread main")
	require.ErrorContains(t, err, "Exception in thread main")
}

func TestTheJavaProducerNeedsARealKafka(t *testing.T) {
	err := run(t.Context(), short("-clients", "java"), nil, &bytes.Buffer{})
	require.ErrorContains(t, err, "-kafka")
}

func TestMemoryIsMeasuredWithAFullBuffer(t *testing.T) {
	m := measuredWith(t, "-clients", "samsa", "-mode", "full", "-deaf", "-size", "1000", "-seconds", "2")
	r := m.Results["samsa"][0]
	require.Greater(t, r.Records, int64(24_000))
	require.Greater(t, r.RSS, int64(24<<20))
}

func TestTheProseOfThePageHasShortLines(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("µord ", 30))
	lines := strings.TrimSpace(strings.Repeat("µord ", 24)) + "\n" + strings.TrimSpace(strings.Repeat("µord ", 6)) +
		"\n"
	require.Equal(t, "\n"+lines+"\n", wrapped("\n"+words+"\n\n"))
	item := "- a: " + strings.TrimSpace(strings.Repeat("µord ", 23)) + "\n  " +
		strings.TrimSpace(strings.Repeat("µord ", 7)) + "\n"
	require.Equal(t, item, wrapped("- a: "+words+"\n"))
	for _, whole := range []string{"| " + words + " |\n", "# " + words + "\n", "![" + words + "](a.svg)\n",
		"```sh\nmake bench\n```\n"} {
		require.Equal(t, whole, wrapped(whole))
	}
}
