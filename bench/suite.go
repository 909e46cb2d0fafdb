package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/bench/client"
	"github.com/gosamsa/samsa/bench/load"
	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// section is a table of the report: workloads with the same target.
type section struct {
	ID        string
	Title     string
	About     string
	Place     place
	Workloads []workload
}

// spec is the common part of most workloads.
func spec(mode load.Mode, size int) load.Spec {
	return load.Spec{Mode: mode, Size: size, Goroutines: 1, Partitions: 12, Codec: "none", Seconds: 1, Warm: 0.5}
}

func with(s load.Spec, change func(*load.Spec)) load.Spec {
	change(&s)
	return s
}

// warmKafka is the seconds of warm-up of a real Kafka before its measurements: by then Java has compiled its hot code.
const warmKafka = 45

// sections are all measurements. peers are the clients for comparison; the goals name franz-go.
func sections() []section {
	all, peers, both, us := client.Names(), client.Libraries(), []string{"samsa", "franz-go"}, []string{"samsa"}
	async := spec(load.Async, 100)
	sync := spec(load.Sync, 100)
	codec := func(name string) workload {
		return workload{"1,000 B, " + name, with(spec(load.Async, 1000), func(s *load.Spec) { s.Codec = name }), peers}
	}
	sameBatch := func(name string) workload {
		return workload{"1,000 B, " + name, with(spec(load.Async, 1000),
			func(s *load.Spec) { s.Codec, s.Batch = name, 1_000_000 }), both}
	}
	partitions := func(n int) workload {
		return workload{fmt.Sprintf("%d partitions", n), with(async, func(s *load.Spec) { s.Partitions = n }), both}
	}
	tuned := func(s load.Spec) load.Spec { return with(s, func(s *load.Spec) { s.Tuned = true }) }
	// With tens of thousands of records waiting for an answer at any time, a second would be much beginning and end.
	longer := func(s load.Spec) load.Spec { return with(s, func(s *load.Spec) { s.Seconds = 2 }) }
	goroutines := func(s load.Spec, n int) load.Spec { return with(s, func(s *load.Spec) { s.Goroutines = n }) }
	withJava := append(peers[:len(peers):len(peers)], javaClient)
	real := []workload{
		{"100 B", async, withJava}, {"1,000 B", spec(load.Async, 1000), withJava},
		{"100 B, tuned", longer(tuned(async)), withJava},
		{"1,000 B, tuned", longer(tuned(spec(load.Async, 1000))), withJava},
	}
	discarding := []section{
		{"defaults", "Each with its own defaults",
			"The broker accepts everything and discards it. Clients demand the acknowledgement of all replicas, and use idempotence if they have it.", place{}, []workload{
				{"100 B", async, all}, {"100 B, 8 goroutines", goroutines(async, 8), peers},
				{"100 B, 100,000 keys", with(async, func(s *load.Spec) { s.Keys = 100_000 }), peers},
				{"1,000 B", spec(load.Async, 1000), all},
				{"sync, 64 goroutines", goroutines(sync, 64), peers},
				codec("lz4"), codec("zstd"), codec("snappy"), codec("gzip"),
			}},
		{"pinned", "One record at a time",
			"The same broker, pinned to one processor: the broker's processor has more effect on the figures than the client.",
			place{pinned: true}, []workload{
				{"sync, 1 goroutine", sync, all},
			}},
		{"tuned", "Each tuned for throughput",
			"Batches of up to 1 MB, 10 ms of linger, and the other advice of each client's documentation.", place{},
			[]workload{
				{"100 B", tuned(async), all}, {"1,000 B", tuned(spec(load.Async, 1000)), all},
			}},
		{"wire", "Compression at the same batch size", "1,000,000 bytes of records a batch, before compression.",
			place{}, []workload{
				sameBatch("none"), sameBatch("lz4"), sameBatch("zstd"), sameBatch("snappy"), sameBatch("gzip"),
			}},
		{"own", "What the client itself allocates",
			"Three ways to send: one callback for all records, without a clock; a callback for each record; and 100 records a call.", place{}, []workload{
				{"100 B, one callback", spec(load.Plain, 100), both}, {"100 B, Send", async, us},
				{"100 B, SendAll", spec(load.Slice, 100), us},
			}},
		{"full", "A full buffer and a dead broker",
			"buffer.memory is 32 MiB, and the broker reads nothing. The figure is the memory of the process.",
			place{deaf: true}, []workload{
				{"1,000 B", with(spec(load.Full, 1000), func(s *load.Spec) { s.Seconds = 5 }), us},
				{"100 B", with(spec(load.Full, 100), func(s *load.Spec) { s.Seconds = 5 }), us},
			}},
		{"partitions", "Many partitions", "Records of 100 B without a key.", place{},
			[]workload{partitions(12), partitions(1000), partitions(10_000)}},
	}
	return slices.Concat(discarding, scaleSections(), []section{
		{"kafka-1", "A real Kafka, one node", "Apache Kafka " + realkafka.DefaultVersion +
			" on the same machine, 12 partitions.",
			place{kafka: realkafka.DefaultVersion, nodes: 1, warm: warmKafka}, append(real[:len(real):len(real)],
				workload{"1,000 B, batches of 16 KiB for both",
					with(spec(load.Async, 1000), func(s *load.Spec) { s.Batch = 16384 }), both},
				workload{"sync, 1 goroutine", sync, peers}, workload{"sync, 64 goroutines", goroutines(sync, 64),
					peers})},
		{"kafka-1-open", "50,000 records a second for 30 s, one node",
			"The latency of a record begins at its due time, also if the client sends it later.",
			place{kafka: realkafka.DefaultVersion, nodes: 1, warm: warmKafka}, []workload{
				{"100 B", with(spec(load.Open, 100), func(s *load.Spec) { s.Rate, s.Seconds = 50_000, 30 }), both},
			}},
		{"kafka-3", "A real Kafka, three nodes",
			"Replication factor 3, min.insync.replicas=2, all on the same machine.",
			place{kafka: realkafka.DefaultVersion, nodes: 3, warm: warmKafka}, real},
	})
}

// report is the result of a run of the suite.
type report struct {
	Date     string            `json:"date"`
	Machine  string            `json:"machine"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
	Runs     int               `json:"runs"`
	Sections []sectionReport   `json:"sections"`

	earlier []*report // of the whole suite, the newest first
}

type sectionReport struct {
	ID        string     `json:"id"`
	Title     string     `json:"title"`
	About     string     `json:"about"`
	Logs      string     `json:"logs,omitempty"`  // the place of a real Kafka's logs
	Apart     string     `json:"apart,omitempty"` // the conditions of the section, if they differ from the report's
	Workloads []measured `json:"workloads"`
}

// runs are this one and those before, the newest first.
func (r *report) runs() []*report { return append([]*report{r}, r.earlier...) }

// pooled is a report of this run's tables, with the measurements of all runs.
func (r *report) pooled() *report {
	all := *r
	all.Sections = nil
	for _, s := range r.Sections {
		workloads := make([]measured, len(s.Workloads))
		for i, w := range s.Workloads {
			workloads[i] = measured{workload: w.workload, Results: map[string][]load.Result{}}
			for name := range w.Results {
				for _, run := range r.runs() {
					workloads[i].Results[name] = append(workloads[i].Results[name], run.rounds(s.ID, w.Name, name)...)
				}
			}
		}
		s.Workloads = workloads
		all.Sections = append(all.Sections, s)
	}
	return &all
}

// runSuite makes all measurements, or some of them, and writes the report.
func runSuite(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	flags.SetOutput(out)
	runs := flags.Int("runs", 5, "how `many` measurements of each client and workload")
	only := flags.String("only", "", "sections with this `text` in their name; the others keep what -data has")
	clients := flags.String("clients", "", "only these `names`, with commas between")
	data := flags.String("data", "results.json",
		"`file` of all figures; it is read first and written after each section. A run of the whole suite begins a new one, and keeps the two before beside it")
	page := flags.String("out", "", "`file` for the page; none if empty")
	plots := flags.String("plots", "plots", "`folder` for the plots, beside the page")
	readme := flags.String("readme", "", "`file` that gets the summary between its two marks; none if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only == "" && *clients == "" {
		if err := keepEarlier(*data); err != nil {
			return err
		}
	}
	r, err := readReports(*data)
	if err != nil {
		return err
	}
	for _, s := range sections() {
		if !strings.Contains(s.ID, *only) {
			continue
		}
		fmt.Fprintf(out, "== %s\n", s.Title)
		done, err := s.run(ctx, *runs, *clients, out)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Title, err)
		}
		r.add(done, *runs, *only != "" || *clients != "")
		if err := writeJSON(*data, r); err != nil {
			return err
		}
	}
	if *readme != "" {
		if err := writeSummary(*readme, r); err != nil {
			return err
		}
	}
	if *page == "" {
		return nil
	}
	return writePage(*page, filepath.Join(filepath.Dir(*page), *plots), r)
}

func (s section) run(ctx context.Context, runs int, clients string, out io.Writer) (done sectionReport, err error) {
	done = sectionReport{ID: s.ID, Title: s.Title, About: s.About}
	stage, err := s.Place.open(ctx, s.Workloads[0].Spec.Partitions)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, stage.close()) }()
	done.Logs = stage.logs
	workloads := slices.Clone(s.Workloads)
	for i := range workloads {
		workloads[i].Clients = among(workloads[i].Clients, clients)
	}
	last := ""
	done.Workloads, err = stage.measure(ctx, workloads, runs, func(w workload, r load.Result) {
		if w.Name != last {
			last = w.Name
			fmt.Fprintf(out, "-- %s\n", w.Name)
		}
		fmt.Fprintln(out, line(r))
	})
	return done, err
}

// among keeps the names in a list with commas between; all, if the list is empty.
func among(names []string, list string) (kept []string) {
	for _, name := range names {
		if list == "" || strings.Contains(","+list+",", ","+name+",") {
			kept = append(kept, name)
		}
	}
	return kept
}

// add puts a section into the report. If the run measured only some sections, under other conditions than the report's,
// the section names its own.
func (r *report) add(s sectionReport, runs int, some bool) {
	now := report{Date: time.Now().Format(time.DateOnly), Machine: machine(), Go: runtime.Version(),
		Versions: versions(), Runs: runs}
	if some && r.Date != "" && now.conditions() != r.conditions() {
		s.Apart = now.conditions()
	} else {
		r.Date, r.Machine, r.Go, r.Versions, r.Runs = now.Date, now.Machine, now.Go, now.Versions, now.Runs
	}
	r.put(s)
}

// conditions returns the date, the machine, the Go version and the number of rounds of the report.
func (r *report) conditions() string {
	return fmt.Sprintf("%s, %s, %s, in %d rounds", r.Date, r.Machine, r.Go, r.Runs)
}

// put replaces a section, or adds it in its place.
func (r *report) put(s sectionReport) {
	old := map[string]sectionReport{s.ID: s}
	for _, have := range r.Sections {
		if have.ID != s.ID {
			old[have.ID] = have
		}
	}
	r.Sections = nil
	for _, known := range sections() {
		if have, ok := old[known.ID]; ok {
			r.Sections = append(r.Sections, have)
		}
	}
}

// earlierRuns are how many runs of the suite are kept beside the last one.
const earlierRuns = 2

// earlierName is the file of the run so many runs ago: results.json is followed by results.1.json.
func earlierName(data string, ago int) string {
	extension := filepath.Ext(data)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(data, extension), ago, extension)
}

// keepEarlier makes place for a new run, and forgets the last one if it was broken off.
func keepEarlier(data string) error {
	last, err := readReport(data)
	if err != nil {
		return err
	}
	if len(last.Sections) < len(sections()) {
		return os.RemoveAll(data)
	}
	for ago := earlierRuns; ago > 0; ago-- {
		from := data
		if ago > 1 {
			from = earlierName(data, ago-1)
		}
		if err := os.Rename(from, earlierName(data, ago)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readReports reads a report, and those of the runs before it.
func readReports(data string) (*report, error) {
	r, err := readReport(data)
	if err != nil {
		return nil, err
	}
	for ago := range earlierRuns {
		before, err := readReport(earlierName(data, ago+1))
		if err != nil {
			return nil, err
		}
		if len(before.Sections) > 0 {
			r.earlier = append(r.earlier, before)
		}
	}
	return r, nil
}

func readReport(name string) (*report, error) {
	r := &report{}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	r.describe()
	return r, err
}

// describe gives the sections their present descriptions: a better sentence needs no new measurement.
func (r *report) describe() {
	for _, known := range sections() {
		for i := range r.Sections {
			if r.Sections[i].ID == known.ID {
				r.Sections[i].About = known.About
			}
		}
	}
}

func writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// versions are those of the clients, as this program was built with them.
func versions() map[string]string {
	v := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, d := range info.Deps {
		for _, name := range client.Names() {
			if d.Path == client.Module(name) {
				v[name] = d.Version
			}
		}
	}
	v["samsa"] = "this one"
	return v
}

// machine describes the computer of the measurements.
func machine() string {
	text := fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return text
	}
	for l := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return text + " (" + strings.TrimSpace(value) + ")"
		}
	}
	return text
}
