package producer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// configFile is the contents of a properties file.
type configFile struct {
	values   map[string]string // the last value of each name
	lines    map[string]int    // the line of each name, also of the names in unread
	unread   map[string]bool   // names with a syntax error in their last value
	replaced []configReplaced
	problems configProblems // syntax errors, each with its line
}

// configReplaced is a line that replaces the value of an earlier line.
type configReplaced struct {
	name          string
	line, earlier int
}

// configParseJavaProperties reads the syntax of Java's properties files: =, : or white space separates key and value, a
// backslash at the end of a line continues it, # and ! start a comment. The last of several equal keys counts.
func configParseJavaProperties(text string) configFile {
	f := configFile{values: map[string]string{}, lines: map[string]int{}, unread: map[string]bool{}}
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		f.problems = configProblems{{Problem: "the file is UTF-16: save it as UTF-8"}}
		return f
	}
	lines := configLines{rest: strings.TrimPrefix(text, "\ufeff")} // some editors put a byte order mark there
	for lines.next() {
		f.add(lines.first, lines.logical)
	}
	return f
}

// add reads one logical line. Its problems do not show the value: that may be a secret.
func (f *configFile) add(line int, logical string) {
	rawName, rawValue := configSplitLine(logical)
	name, problem := configUnescape(rawName)
	if problem != "" {
		f.problems = append(f.problems, &ConfigError{Line: line, Problem: problem})
		return
	}
	value, problem := configUnescape(rawValue)
	earlier, again := f.lines[name]
	f.lines[name] = line
	if problem != "" {
		f.problems = append(f.problems, &ConfigError{Line: line, Property: name, Problem: problem})
		f.unread[name] = true
		delete(f.values, name)
		return
	}
	if again && f.values[name] != value {
		f.replaced = append(f.replaced, configReplaced{name: name, line: line, earlier: earlier})
	}
	delete(f.unread, name)
	f.values[name] = value
}

// notices returns the warnings about lines that replace the values of earlier lines.
func (f *configFile) notices(path string) (notices []string) {
	for _, r := range f.replaced {
		notices = append(notices, fmt.Sprintf("%s:%d: %s replaces another value in line %d", path, r.line,
			configShownName(r.name), r.earlier))
	}
	return notices
}

// configLines splits a properties file into logical lines: it skips comments and blank lines, joins continued lines,
// and removes the white space before each line.
type configLines struct {
	rest    string
	number  int    // natural lines read
	first   int    // the first line of the logical line, from 1
	logical string // the last character
}

const configBlank = " \t\f"

func (l *configLines) next() bool {
	var joined strings.Builder
	for l.rest != "" {
		line := l.natural()
		if joined.Len() == 0 {
			if line == "" || line[0] == '#' || line[0] == '!' {
				continue
			}
			l.first = l.number
		}
		line, continued := configContinued(line)
		joined.WriteString(line)
		if !continued && joined.Len() > 0 {
			break
		}
	}
	l.logical = joined.String()
	return l.logical != ""
}

// natural reads one line, and removes its line ending and the white space before it.
func (l *configLines) natural() string {
	l.number++
	line := l.rest
	if end := strings.IndexAny(line, "\r\n"); end < 0 {
		l.rest = ""
	} else {
		l.rest = line[end+1:]
		if line[end] == '\r' {
			l.rest = strings.TrimPrefix(l.rest, "\n")
		}
		line = line[:end]
	}
	return strings.TrimLeft(line, configBlank)
}

// configContinued removes the backslash of a continued line: a backslash without another one before it.
func configContinued(line string) (string, bool) {
	bare := strings.TrimRight(line, `\`)
	if (len(line)-len(bare))%2 == 0 {
		return line, false
	}
	return line[:len(line)-1], true
}

// configSplitLine splits a line into key and value, both still escaped.
func configSplitLine(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune(configBlank+"=:", rune(line[end])) {
		if line[end] == '\\' {
			end++ // an escaped character ends no key
		}
		end++
	}
	end = min(end, len(line))
	key, value = line[:end], strings.TrimLeft(line[end:], configBlank)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], configBlank)
	}
	return key, value
}

// configUnescape resolves the escapes of a key or value. Its problem does not show the text: it may be a secret.
func configUnescape(s string) (text, problem string) {
	if !utf8.ValidString(s) {
		return "", `not UTF-8: save the file as UTF-8, or write the character as \uXXXX`
	}
	if !strings.Contains(s, `\`) {
		return s, ""
	}
	var units []uint16 // UTF-16 as in Java: two \uXXXX can be one rune
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r != '\\' || i == len(s) {
			units = utf16.AppendRune(units, r)
			continue
		}
		r, size = utf8.DecodeRuneInString(s[i:])
		i += size
		if r == 'u' {
			unit, err := strconv.ParseUint(s[i:min(i+4, len(s))], 16, 16)
			if err != nil || i+4 > len(s) {
				return "", `\u needs four hexadecimal digits; write a backslash as \\`
			}
			units = append(units, uint16(unit))
			i += 4
			continue
		}
		units = utf16.AppendRune(units, configEscape(r))
	}
	return string(utf16.Decode(units)), ""
}

// configEscape returns the character that a backslash followed by r stands for.
func configEscape(r rune) rune {
	switch r {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return r
}
