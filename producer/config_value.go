package producer

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gosamsa/samsa/compress"
)

// set reads a value as a properties file has it, and stores it if it is in range.
func (o *configOption) set(c *Config, text string) *ConfigError {
	text = configTrim(text)
	problem := o.store(c, text)
	if problem == "" {
		return nil
	}
	if cure := o.cure(text); cure != "" {
		problem += ": " + cure
	}
	return &ConfigError{Property: o.property, Field: o.field, Value: text, Problem: problem}
}

// store does the work of set. It returns the problem without advice.
func (o *configOption) store(c *Config, text string) (problem string) {
	switch p := o.ptr(c).(type) {
	case *bool:
		value := strings.ToLower(text)
		if problem = o.checkWord(value); problem == "" {
			*p = value == "true"
		}
	case *Acks:
		if problem = o.checkWord(text); problem == "" {
			*p = configAcks(text)
		}
	case *Compression:
		codec, err := compress.ParseCodec(text)
		if err != nil {
			problem = o.outOfRange()
			break
		}
		*p = codec
	case *MetadataRecoveryStrategy:
		value := strings.ToLower(text)
		if problem = o.checkWord(value); problem == "" {
			*p = MetadataRecoveryStrategy(value)
		}
	case *string:
		if problem = o.checkText(text); problem == "" {
			*p = text
		}
	case *[]string:
		*p = configList(text)
		if text == "" {
			problem = configNoServers
		}
	default:
		problem = o.setNumber(c, text)
	}
	return problem
}

// setNumber does the work of store for whole numbers and for durations in milliseconds.
func (o *configOption) setNumber(c *Config, text string) (problem string) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "not a whole number in the range " + o.rangeText() + o.unit()
	}
	if problem := o.checkNumber(n); problem != "" {
		return problem
	}
	switch p := o.ptr(c).(type) {
	case *int:
		*p = int(n)
	case *int64:
		*p = n
	case *time.Duration:
		*p = configMillis(n)
	}
	return ""
}

// problem checks the value in a Config and returns its problem, or "".
func (o *configOption) problem(c *Config) string {
	switch p := o.ptr(c).(type) {
	case *Acks:
		return o.checkWord(strconv.Itoa(int(*p)))
	case *Compression:
		return o.checkWord(p.String())
	case *MetadataRecoveryStrategy:
		return o.checkWord(string(*p))
	case *string:
		return o.checkText(*p)
	case *int:
		return o.checkNumber(int64(*p))
	case *int64:
		return o.checkNumber(*p)
	case *time.Duration:
		return o.checkDuration(*p)
	}
	return "" // a bool is always in range; BootstrapServers has a check of its own for each server
}

// checkDuration checks a field. A positive duration below a millisecond is most likely a number of milliseconds without
// its unit.
func (o *configOption) checkDuration(d time.Duration) string {
	const counted = "%d counts nanoseconds, and the shortest duration is 1ms"
	switch {
	case d > 0 && d < time.Millisecond && o.inRange(int64(d)):
		return fmt.Sprintf(counted+": did you mean %d*time.Millisecond?", d, d)
	case d > 0 && d < time.Millisecond:
		return o.outOfRange() + ": " + fmt.Sprintf(counted, d)
	case d < configMillis(o.min), d > configMillis(o.max): // half a millisecond above the range is outside it
		return o.outOfRange()
	case d == 0 && o.zero != "":
		return o.outOfRange() + ": " + o.zero
	}
	return ""
}

func (o *configOption) checkNumber(n int64) string {
	switch {
	case !o.inRange(n):
		return o.outOfRange()
	case n == 0 && o.zero != "":
		return o.outOfRange() + ": " + o.zero
	}
	return ""
}

func (o *configOption) checkWord(word string) string {
	if !slices.Contains(o.values, word) {
		return o.outOfRange()
	}
	return ""
}

func (o *configOption) checkText(text string) string {
	if len(text) > math.MaxInt16 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return o.outOfRange()
	}
	return ""
}

func (o *configOption) inRange(n int64) bool {
	if o.levels != compress.None {
		return n >= math.MinInt32 && n <= math.MaxInt32 && o.levels.CheckLevel(int(n)) == nil
	}
	return n >= o.min && n <= o.max
}

func (o *configOption) outOfRange() string {
	return "not in the range " + o.rangeText() + o.unit()
}

// rangeText describes the right values, as the comments and the README do.
func (o *configOption) rangeText() string {
	switch {
	case o.format != "":
		return o.format
	case o.values != nil:
		return strings.Join(o.values, ", ")
	case o.zero != "" && o.max == configMaxLong:
		return "-1 and 1 or more"
	case o.zero != "":
		return fmt.Sprintf("-1 and 1 to %d", o.max)
	case o.max == configMaxLong:
		return fmt.Sprintf("%d or more", o.min)
	}
	return fmt.Sprintf("%d to %d", o.min, o.max)
}

// unit names the unit of durations and sizes.
func (o *configOption) unit() string {
	if o.bytes {
		return " (bytes)"
	}
	if _, ok := o.ptr(new(Config)).(*time.Duration); ok {
		return " (ms)"
	}
	return ""
}

// text is the value in a Config, for errors: in the form of a properties file, with durations in Go's form.
func (o *configOption) text(c *Config) string {
	switch p := o.ptr(c).(type) {
	case *[]string:
		return strings.Join(*p, ",")
	case *string:
		return *p
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *MetadataRecoveryStrategy:
		return string(*p)
	case fmt.Stringer: // *time.Duration, *Acks, *Compression
		return p.String()
	}
	return ""
}

// configMillis turns milliseconds into a duration. Java's largest number of milliseconds exceeds Go's largest duration,
// 292 years. Both mean for ever, so the result is Go's largest duration.
func configMillis(ms int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	if ms > most {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

func configAcks(text string) Acks {
	switch text {
	case "0":
		return AcksNone
	case "1":
		return AcksLeader
	}
	return AcksAll
}

// configTrim is Java's String.trim: it removes everything up to the space character from both ends.
func configTrim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// configList splits at commas.
func configList(text string) []string {
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = configTrim(list[i])
	}
	return list
}
