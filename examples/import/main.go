// Import sends each line of a file, JSON lines or CSV, as one record. It sends asynchronously, shows its progress, and
// resumes after a crash:
//
//	go -C examples run ./import -bootstrap localhost:9092 -topic events -file /path/to/events.jsonl
//
// Copy this file into a program of your own: its only dependency is package producer. The topic exists, or the brokers
// create it.
//
// The importer sends every line at least once. Ctrl-C stops it, a second Ctrl-C ends the process at once. After an
// interrupt, a crash, or an outage, run the same command again. The importer keeps three files beside its input:
//
//	events.jsonl.checkpoint     the watermark: every line before it has an outcome
//	events.jsonl.rejected       lines that would be refused again: correct them, and import this file
//	events.jsonl.maybe-written  lines that may be in the log or not: importing them again may write them twice
//
// A resumed import starts at the watermark. It sends the lines behind the watermark again, also those that the log
// already holds.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gosamsa/samsa/producer"
)

func main() {
	im, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2) // package flag has printed the error
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process
	if err := im.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// keyOf returns the record's key: the id of a JSON line, the first field of a CSV line. Records with the same key go to
// the same partition. Change keyOf to fit your file.
func keyOf(text []byte) []byte {
	if !bytes.HasPrefix(text, []byte("{")) {
		field, _, _ := bytes.Cut(text, []byte(","))
		return field
	}
	var object struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(text, &object) != nil {
		return nil // the importer checks no syntax: a line without a key goes to any partition
	}
	return bytes.Trim(object.ID, `"`)
}

// importer imports one file. Its state belongs to the goroutine of run; callbacks only put outcomes into a channel.
type importer struct {
	cfg         producer.Config
	topic, file string
	header      bool          // the first line is no record
	window      int           // maximum number of lines between the watermark and the reader
	retries     int           // how often the importer sends a line again if it was not written
	pause       time.Duration // the wait before the next attempt
	maxRejected int64         // the import stops at more rejected lines
	drain       time.Duration // maximum duration of a shutdown
	every       time.Duration // interval of progress lines and checkpoints
	out         io.Writer

	producer *producer.Producer
	in       *lineReader
	lines    []*line        // read lines behind the watermark, in the order of the file
	outcomes chan outcome   // its capacity is window, so no callback waits
	again    []*line        // lines to send again when the timer fires
	timer    *time.Timer    // of again
	saved    checkpoint     // the last one in the checkpoint file
	done     checkpoint     // the current one
	rejected *sideFile      // of FateRejected
	maybe    *sideFile      // of FateMaybeWritten
	reasons  map[string]int // of this run's lines that were rejected or maybe written
}

// line is a line of the file, after the importer has read it. Its text stays in the file.
type line struct {
	number     int64
	start, end int64 // offsets in the file; end is behind the line break
	attempts   int
	skipped    bool  // a header or a blank line
	settled    bool  // nothing more happens to the line
	err        error // of a settled line: nil, rejected, or maybe written
}

// outcome is a callback's report of an attempt.
type outcome struct {
	line *line
	err  error
}

func parse(args []string, out io.Writer) (*importer, error) {
	im := &importer{out: out}
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(out)
	bootstrap := flags.String("bootstrap", "localhost:9092", "`host:port` of a broker; several with commas between")
	flags.StringVar(&im.topic, "topic", "", "`name` of the topic")
	flags.StringVar(&im.file, "file", "", "`path` of the file")
	flags.BoolVar(&im.header, "header", false, "skip the first line")
	flags.IntVar(&im.window, "window", 10_000,
		"maximum number of `lines` without an outcome, or behind a line without one")
	flags.IntVar(&im.retries, "retries", 5, "how many `times` a line is sent again if it was not written")
	flags.DurationVar(&im.pause, "pause", time.Second, "`wait` before a line is sent again")
	flags.Int64Var(&im.maxRejected, "max-rejected", 1000,
		"the import stops at more rejected `lines`: a missing right rejects all")
	flags.DurationVar(&im.drain, "drain", 10*time.Second, "maximum `duration` of a shutdown")
	flags.DurationVar(&im.every, "every", time.Second, "`interval` of progress lines and checkpoints")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if im.topic == "" || im.file == "" || flags.NArg() > 0 || im.window < 1 || im.every <= 0 {
		fmt.Fprintln(out, "import needs -topic and -file, a -window and an -every above 0, and takes no further arguments")
		flags.Usage()
		return nil, errors.New("wrong arguments")
	}
	im.cfg = producer.DefaultConfig(strings.Split(*bootstrap, ",")...) // acks=all and idempotence
	im.cfg.ClientID = "import"
	im.cfg.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	im.cfg.Linger = 10 * time.Millisecond
	// The producer's own retries write no line twice. They last through an outage of this length.
	im.cfg.DeliveryTimeout = 10 * time.Minute
	return im, nil
}

// run imports the file from its checkpoint on. It returns nil if every line has an outcome.
func (im *importer) run(ctx context.Context) (err error) {
	file, err := os.Open(im.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := im.resume(file); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.rejected.close(), im.maybe.close()) }()
	if im.producer, err = producer.New(im.cfg); err != nil {
		return err
	}
	ended := im.loop(ctx)
	stopped := im.shutDown()
	im.summary()
	return errors.Join(ended, stopped)
}

// loop reads, sends, and processes outcomes until every line is settled, a line failed too often, or ctx ends.
func (im *importer) loop(ctx context.Context) error {
	tick := time.NewTicker(im.every)
	defer tick.Stop()
	defer im.timer.Stop()
	always := make(chan struct{})
	close(always)
	for !im.in.ended || len(im.lines) > 0 {
		var mayRead chan struct{} // nil: the select does not read
		if !im.in.ended && len(im.lines) < im.window && len(im.outcomes) == 0 && len(im.again) == 0 {
			mayRead = always // lines to send again are a sign of an outage: the reading stops
		}
		var err error
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case o := <-im.outcomes:
			if err = im.settle(ctx, o); err == nil {
				err = im.advance()
			}
		case <-im.timer.C:
			err = im.sendAgain(ctx)
		case <-tick.C:
			im.progress()
			err = im.save()
		case <-mayRead:
			err = im.sendNext(ctx)
		}
		if err == nil && im.hasTooManyRejected() {
			err = fmt.Errorf("line %d is rejected, as were %d before it (-max-rejected): %w", im.lines[0].number,
				im.done.Rejected, im.lines[0].err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendNext sends the next line of the file.
func (im *importer) sendNext(ctx context.Context) error {
	text, l, err := im.in.next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil && !errors.Is(err, producer.ErrRecordTooLarge) {
		return err
	}
	im.lines = append(im.lines, l)
	switch {
	case err != nil: // the reader has not kept the text
		im.outcomes <- outcome{l, err}
	case len(text) == 0, im.header && l.number == 1:
		l.skipped, l.settled = true, true
		return im.advance()
	default:
		im.send(ctx, l, text)
	}
	return nil
}

// send sends a line. Its outcome comes through the channel, also if Send fails: Send waits while the buffer is full,
// until ctx ends.
func (im *importer) send(ctx context.Context, l *line, text []byte) {
	l.attempts++
	record := producer.Record{Topic: im.topic, Key: keyOf(text), Value: text}
	im.producer.Send(ctx, &record, func(_ producer.RecordMetadata, err error) { im.outcomes <- outcome{l, err} })
}

// sendAgain sends the lines that were not written. They may come behind later lines of their key.
func (im *importer) sendAgain(ctx context.Context) error {
	lines := im.again
	im.again = nil
	for _, l := range lines {
		text, err := im.in.read(l)
		if err != nil {
			return err
		}
		im.send(ctx, l, text)
	}
	return nil
}

// settle decides by the fate of an attempt. It sends a line again only if the line was not written, and gives only
// rejected lines to the reject file.
func (im *importer) settle(ctx context.Context, o outcome) error {
	l := o.line
	switch producer.FateOf(o.err) {
	case producer.FateAcknowledged, producer.FateRejected, producer.FateMaybeWritten:
		l.settled, l.err = true, o.err
	case producer.FateNotWritten:
		if ctx.Err() != nil {
			return nil // the shutdown leaves the line to the next run
		}
		if l.attempts > im.retries {
			return fmt.Errorf("line %d was not written in %d attempts: %w", l.number, l.attempts, o.err)
		}
		if len(im.again) == 0 {
			fmt.Fprintf(im.out, "line %d was not written, next attempt in %v: %v\n", l.number, im.pause, o.err)
			im.timer.Reset(im.pause)
		}
		im.again = append(im.again, l)
	}
	return nil
}

// advance moves the watermark over settled lines, and writes the failed ones into their files, in the order of the
// input.
func (im *importer) advance() error {
	for len(im.lines) > 0 && im.lines[0].settled && !im.hasTooManyRejected() {
		l := im.lines[0]
		if err := im.report(l); err != nil {
			return err
		}
		im.lines = im.lines[1:]
		im.done.Offset, im.done.Lines = l.end, l.number
	}
	return nil
}

// hasTooManyRejected reports whether a rejected line stops the watermark. The line stays with the input, not with the
// reject file.
func (im *importer) hasTooManyRejected() bool {
	return len(im.lines) > 0 && im.lines[0].settled && producer.FateOf(im.lines[0].err) == producer.FateRejected &&
		im.done.Rejected >= im.maxRejected
}

// report counts a settled line, and keeps the text of a failed one.
func (im *importer) report(l *line) error {
	var count *int64
	var side *sideFile
	switch fate := producer.FateOf(l.err); {
	case l.skipped:
		im.done.Skipped++
		return nil
	case fate == producer.FateAcknowledged:
		im.done.Acknowledged++
		return nil
	case fate == producer.FateRejected:
		count, side = &im.done.Rejected, im.rejected
	default:
		count, side = &im.done.MaybeWritten, im.maybe
	}
	*count++
	reason := producer.Reason(l.err)
	if im.reasons[reason]++; im.reasons[reason] == 1 {
		fmt.Fprintf(im.out, "line %d goes to %s, the first one with %s: %v\n", l.number, side.path, reason, l.err)
	}
	return side.add(im.in.section(l))
}

// shutDown delivers the producer's buffered records, within the drain timeout, and saves the watermark. Lines not
// written keep no outcome, so the watermark stays before the first of them.
func (im *importer) shutDown() error {
	limit, cancel := context.WithTimeout(context.Background(), im.drain)
	defer cancel()
	closed := im.producer.Close(limit)
	for {
		select {
		case o := <-im.outcomes:
			if producer.FateOf(o.err) != producer.FateNotWritten {
				o.line.settled, o.line.err = true, o.err
			}
			continue
		default: // a later callback leaves its line without an outcome
		}
		return errors.Join(closed, im.advance(), im.save())
	}
}

func (im *importer) progress() {
	records, memory := im.producer.Buffered()
	fmt.Fprintf(im.out, "%3.0f%%  %v; %d read behind line %d, %d to send again; %d records (%d bytes) in the producer's buffer\n",
		im.in.percent(im.done.Offset), im.done, len(im.lines), im.done.Lines, len(im.again), records, memory)
}

func (im *importer) summary() {
	for _, reason := range slices.Sorted(maps.Keys(im.reasons)) {
		fmt.Fprintf(im.out, "failed with %s: %d lines\n", reason, im.reasons[reason])
	}
	fmt.Fprintf(im.out, "%3.0f%%  %v\n", im.in.percent(im.done.Offset), im.done)
	if im.in.ended && len(im.lines) == 0 {
		return
	}
	inLog := 0
	for _, l := range im.lines {
		if l.settled && l.err == nil && !l.skipped {
			inLog++
		}
	}
	fmt.Fprintf(im.out, "The watermark is line %d. Run the same command again to continue behind it; %d of the next lines are in the log already.\n",
		im.done.Lines, inLog)
}

// checkpoint is the content of the checkpoint file. All of it concerns the lines before the watermark.
type checkpoint struct {
	Offset            int64 `json:"offset"` // the watermark, in bytes of the input
	Lines             int64 `json:"lines"`
	Skipped           int64 `json:"skipped"`
	Acknowledged      int64 `json:"acknowledged"`
	Rejected          int64 `json:"rejected"`
	MaybeWritten      int64 `json:"maybe_written"`
	RejectedBytes     int64 `json:"rejected_bytes"`      // size of the reject file
	MaybeWrittenBytes int64 `json:"maybe_written_bytes"` // size of the file with maybe written lines
}

func (c checkpoint) String() string {
	return fmt.Sprintf("%d lines settled: %d acknowledged, %d rejected, %d maybe written", c.Lines, c.Acknowledged,
		c.Rejected, c.MaybeWritten)
}

// resume continues from the checkpoint file, or starts at the beginning.
func (im *importer) resume(file *os.File) error {
	im.outcomes = make(chan outcome, im.window)
	im.timer = time.NewTimer(0)
	im.timer.Stop()
	im.reasons = map[string]int{}
	text, err := os.ReadFile(im.file + ".checkpoint")
	if err == nil {
		if err := json.Unmarshal(text, &im.done); err != nil {
			return fmt.Errorf("%s.checkpoint: %w", im.file, err)
		}
		fmt.Fprintf(im.out, "resuming behind line %d\n", im.done.Lines)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	im.saved = im.done
	// A record has a few bytes beside its line, so a line of MaxRequestSize bytes is too large already.
	if im.in, err = newLineReader(file, im.done, im.cfg.MaxRequestSize); err != nil {
		return err
	}
	im.rejected = &sideFile{path: im.file + ".rejected"}
	im.maybe = &sideFile{path: im.file + ".maybe-written"}
	// The lines of a crashed run behind its last checkpoint go: this run writes them again.
	return errors.Join(im.rejected.cut(im.done.RejectedBytes), im.maybe.cut(im.done.MaybeWrittenBytes))
}

// save replaces the checkpoint file. A crash leaves the former file or the new one: the rename comes after the data is
// on the disk. If a power failure undoes the rename, the former watermark is true as well.
func (im *importer) save() error {
	im.done.RejectedBytes, im.done.MaybeWrittenBytes = im.rejected.size, im.maybe.size
	if im.done == im.saved {
		return nil
	}
	if err := errors.Join(im.rejected.sync(), im.maybe.sync()); err != nil {
		return err
	}
	text, err := json.Marshal(im.done)
	if err != nil {
		return err
	}
	temporary := im.file + ".checkpoint.tmp"
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	im.saved = im.done
	return os.Rename(temporary, im.file+".checkpoint")
}

// lineReader reads the lines of a file in turn, and single lines again.
type lineReader struct {
	file   *os.File
	size   int64
	buffer *bufio.Reader
	number int64 // of the last line
	offset int64 // behind the last line
	ended  bool
}

func newLineReader(file *os.File, from checkpoint, maxLine int) (*lineReader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	r := &lineReader{file: file, size: info.Size(), number: from.Lines, offset: from.Offset}
	before := []byte{'\n'}
	if from.Offset > 0 && from.Offset != r.size {
		_, err = file.ReadAt(before, from.Offset-1)
	}
	if err != nil || before[0] != '\n' || from.Offset > r.size || from.Offset < 0 {
		return nil, fmt.Errorf("%s.checkpoint does not fit the file: no line ends at byte %d. Delete it to start at the beginning", file.Name(), from.Offset)
	}
	if _, err := file.Seek(from.Offset, io.SeekStart); err != nil {
		return nil, err
	}
	r.buffer = bufio.NewReaderSize(file, maxLine)
	return r, nil
}

// next returns the next line, and its text until the following call. It keeps no text of a too large line.
func (r *lineReader) next() (text []byte, l *line, err error) {
	l = &line{number: r.number + 1, start: r.offset, end: r.offset}
	var part []byte
	for parts := 0; ; parts++ {
		part, err = r.buffer.ReadSlice('\n')
		l.end += int64(len(part))
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if parts > 0 && (err == nil || errors.Is(err, io.EOF)) {
			err = fmt.Errorf("a line of %d bytes: %w", l.end-l.start, producer.ErrRecordTooLarge)
		}
		break
	}
	if errors.Is(err, io.EOF) {
		r.ended = true
		if len(part) > 0 { // the last line has no line break
			err = nil
		}
	}
	r.number, r.offset = l.number, l.end
	return trim(part), l, err
}

func (r *lineReader) section(l *line) io.Reader {
	return io.NewSectionReader(r.file, l.start, l.end-l.start)
}

// read returns the text of an earlier line.
func (r *lineReader) read(l *line) ([]byte, error) {
	text, err := io.ReadAll(r.section(l))
	return trim(text), err
}

func trim(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

func (r *lineReader) percent(offset int64) float64 {
	if r.size == 0 {
		return 100
	}
	return 100 * float64(offset) / float64(r.size)
}

// sideFile gets the lines of one fate. It exists from its first line on.
type sideFile struct {
	path string
	file *os.File
	size int64
}

// cut removes everything behind size. A file that is gone or shorter is yours: you have handled its lines.
func (s *sideFile) cut(size int64) error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.size = min(size, info.Size())
	return os.Truncate(s.path, s.size)
}

func (s *sideFile) add(text io.Reader) (err error) {
	if s.file == nil {
		if s.file, err = os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return err
		}
	}
	last := &lastByte{w: s.file}
	n, err := io.Copy(last, text)
	s.size += n
	if err == nil && last.b != '\n' {
		_, err = s.file.WriteString("\n")
		s.size++
	}
	return err
}

func (s *sideFile) sync() error {
	if s.file == nil {
		return nil
	}
	return s.file.Sync()
}

func (s *sideFile) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// lastByte remembers the last written byte.
type lastByte struct {
	w io.Writer
	b byte
}

func (l *lastByte) Write(b []byte) (int, error) {
	if len(b) > 0 {
		l.b = b[len(b)-1]
	}
	return l.w.Write(b)
}
