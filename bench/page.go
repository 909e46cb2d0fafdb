package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gosamsa/samsa/bench/client"
	"github.com/gosamsa/samsa/bench/load"
)

const intro = `# Benchmarks

This page compares Samsa with the other Kafka clients for Go. Each client runs the same workloads through a small
adapter. A program writes this page from its measurements; people write only the reasons for our losses. This command
repeats the measurements:

%s

- Each measurement runs in a process of its own, so clients share no heap.
- The clients take turns: each round runs all workloads of a table, and each round has another order of the clients.
- CPU is the user and system time of the client's process.
- CPU includes the cost of measuring: a clock reading before and after each record, and a closure.
- The values of records are JSON-like text.
- The discarding broker and the real Kafka run in other processes on the same machine.
- Absolute figures depend on the machine, so compare the ratios.
- bench/results.json has every single figure, and bench/results.1.json and bench/results.2.json those of earlier runs.

Measured on %s. A section with other conditions has a note about its separate run. Figures are medians of the rounds.
`

// writePage writes the report as Markdown, and its plots.
func writePage(name, plots string, r *report) error {
	var b strings.Builder
	fmt.Fprintf(&b, intro, "```sh\nmake bench\n```", r.conditions())
	b.WriteString("\n| client | version |\n|---|---|\n")
	for _, c := range client.Names() {
		if v := r.Versions[c]; v != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", c, v)
		}
	}
	b.WriteString("\nThe floor is a lower bound instead of a client: one goroutine encodes, checksums, writes, reads responses and " +
		"runs callbacks, without locks, timers, retries or error handling. It shows the least work of a client.\n")
	writeGoals(&b, r)
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for _, s := range r.pooled().Sections {
		writeSection(&b, s)
		for _, f := range []struct {
			name, title string
			pick        func(load.Result) float64
		}{{"rate", "records a second (more is better)", rate}, {"cpu", "CPU, ns a record (less is better)", cpu}} {
			drawn := plot(s, f.title, f.pick)
			if drawn == "" {
				continue
			}
			file := fmt.Sprintf("%s-%s.svg", s.ID, f.name)
			if err := os.WriteFile(filepath.Join(plots, file), []byte(drawn), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&b, "\n![%s: %s](%s/%s)\n", s.Title, f.title, filepath.ToSlash(relative(name, plots)), file)
		}
	}
	writeSettings(&b, r)
	return os.WriteFile(name, []byte(wrapped(b.String())), 0o644)
}

// wrapped breaks the prose of a page into lines of at most 120 columns. Tables, images and headings keep their lines.
func wrapped(page string) string {
	const columns = 120
	var b strings.Builder
	for line := range strings.Lines(page) {
		if strings.ContainsAny(line[:1], "|!#") {
			b.WriteString(line)
			continue
		}
		used := 0
		for i, word := range strings.Fields(line) {
			width := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case used+1+width <= columns:
				b.WriteString(" ")
				used++
			case strings.HasPrefix(line, "- "):
				b.WriteString("\n  ")
				used = len("  ")
			default:
				b.WriteString("\n")
				used = 0
			}
			b.WriteString(word)
			used += width
		}
		b.WriteString("\n")
	}
	return b.String()
}

func relative(page, folder string) string {
	if rel, err := filepath.Rel(filepath.Dir(page), folder); err == nil {
		return rel
	}
	return folder
}

// writeGoals lists the reached goals, and our losses. The rounds of all runs count.
func writeGoals(b *strings.Builder, r *report) {
	b.WriteString("\n## Goals, reached and missed\n\n")
	runs := r.runs()
	if len(runs) > 1 {
		fmt.Fprintf(b, "The whole suite ran %d times (%s). Every table has the rounds of all runs.\n\n", len(runs),
			strings.Join(datesOf(runs), ", "))
	}
	b.WriteString("Each ratio compares two clients in the same round. The table shows the median of the ratios of all rounds.\n\n")
	b.WriteString("| figure | goal | measured | in each run | |\n|---|---|---|---|---|\n")
	var missed []goal
	for _, g := range goals() {
		var all []float64
		var each []string
		for _, r := range slices.Backward(runs) {
			if found := g.figures(r); len(found) > 0 {
				all, each = append(all, found...), append(each, fmt.Sprintf("%.3g", middle(found)))
			}
		}
		if len(all) == 0 {
			continue
		}
		v := middle(all)
		word, verdict := "at least", "reached"
		if g.most {
			word = "at most"
		}
		if !g.reached(v) {
			verdict = "**missed**"
			missed = append(missed, g)
		}
		fmt.Fprintf(b, "| %s | %s %.4g%s | %.3g%s | %s | %s |\n", g.name, word, g.target, g.unit, v, g.unit,
			strings.Join(each, ", "), verdict)
	}
	if len(missed) > 0 {
		b.WriteString("\n## Reasons for the missed goals\n")
	}
	for _, g := range missed {
		fmt.Fprintf(b, "\n**%s**: %s\n", g.name, g.reason())
	}
}

// datesOf are when runs ended, the oldest first.
func datesOf(runs []*report) (dates []string) {
	for _, r := range slices.Backward(runs) {
		dates = append(dates, r.Date)
	}
	return dates
}

func writeSection(b *strings.Builder, s sectionReport) {
	fmt.Fprintf(b, "\n## %s\n\n%s", s.Title, s.About)
	if s.Logs != "" {
		fmt.Fprintf(b, " Kafka's logs were %s.", s.Logs)
	}
	if s.Apart != "" {
		fmt.Fprintf(b, "\n\nThese figures come from a separate run: %s.", s.Apart)
	}
	b.WriteString("\n")
	for _, w := range s.Workloads {
		fmt.Fprintf(b, "\n### %s\n\n| client | records/s | CPU, ns | allocations | bytes allocated | p50 | p99 | p99.9 | wire, B | records a batch | RSS, MiB |\n", w.Name)
		b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
		for _, name := range w.Clients {
			r := median(w.Results[name])
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
				unlessZero(r.Rate, thousands(r.Rate)), number("%.0f", r.CPU), number("%.2f", r.Allocs),
				number("%.0f", r.Alloced), latency(r.P50), latency(r.P99), latency(r.P999), number("%.4g", r.Wire),
				number("%.4g", r.PerBatch), number("%.0f", float64(r.RSS>>20)))
			if r.Failed > 0 {
				fmt.Fprintf(b, "\n%d records of %s failed, the first with: %s\n", r.Failed, name, r.Failure)
			}
		}
	}
}

// writeSettings lists the configurations of each client, each of them once.
func writeSettings(b *strings.Builder, r *report) {
	said := map[string][]string{}
	for _, s := range r.Sections {
		for _, w := range s.Workloads {
			for name, rs := range w.Results {
				for _, text := range rs[0].Setting {
					if !slices.Contains(said[name], text) {
						said[name] = append(said[name], text)
					}
				}
			}
		}
	}
	b.WriteString("\n## Settings\n\nEverything else is each client's default.\n\n")
	for _, name := range slices.Sorted(maps.Keys(said)) {
		slices.Sort(said[name])
		fmt.Fprintf(b, "- %s: %s\n", name, strings.Join(said[name], "; "))
	}
}

func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// unlessZero writes a figure. A zero means unmeasured: Java's producer reports no allocations, and with a dead broker
// there is no rate.
func unlessZero(v float64, text string) string {
	if v == 0 {
		return "–"
	}
	return text
}

func number(format string, v float64) string { return unlessZero(v, fmt.Sprintf(format, v)) }

func latency(ns float64) string { return unlessZero(ns, nice(ns).String()) }

// plot draws bars as SVG: a group for each workload, a bar for each client. For unmeasured figures it returns nothing.
func plot(s sectionReport, title string, pick func(load.Result) float64) string {
	const bar, gap, left, width, right = 16, 14, 190, 460, 110
	colours := map[string]string{
		javaClient: "#c44e52", "samsa": "#1a7f5a", "franz-go": "#4c72b0", "sarama": "#dd8452", "kafka-go": "#937860",
		"confluent-kafka-go": "#8172b3", "floor": "#999999",
	}
	var most float64
	rows := 0
	for _, w := range s.Workloads {
		for _, name := range w.Clients {
			most = max(most, pick(median(w.Results[name])))
			rows++
		}
	}
	if most == 0 {
		return ""
	}
	height := 40 + rows*bar + len(s.Workloads)*(gap+bar)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", left+width+right, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="8" y="20" font-size="13">%s: %s</text>`+"\n", s.Title, title)
	y := 34
	for _, w := range s.Workloads {
		y += gap
		fmt.Fprintf(&b, `<text x="8" y="%d" font-weight="bold">%s</text>`+"\n", y, w.Name)
		y += 5
		for _, name := range w.Clients {
			v := pick(median(w.Results[name]))
			length := v / most * width
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
				left-6, y+12, name, left, y+2, length, bar-4, colours[name], left+length+5, y+12, thousands(v))
			y += bar
		}
		y += bar - 5
	}
	b.WriteString("</svg>\n")
	return b.String()
}
