package producer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// configParseJavaProperties reads the syntax of Java's properties files: key and value are parted by =, : or white space, a
// backslash at the end of a line continues it, # and ! start a comment. The last of several equal keys counts.
func configParseJavaProperties(text string) (map[string]string, error) {
	text = strings.TrimPrefix(text, "\ufeff") // some editors put a byte order mark there
	lines := configLines{rest: text}
	m := map[string]string{}
	for lines.next() {
		key, value := configSplitLine(lines.logical)
		k, err := configUnescape(key)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lines.first, err)
		}
		v, err := configUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", lines.first, err)
		}
		m[k] = v
	}
	return m, nil
}

// configLines cuts a properties file into logical lines: comments and blank lines are left out, continued lines joined, and
// the white space before each line is taken off.
type configLines struct {
	rest    string
	number  int    // natural lines read
	first   int    // where the logical line began, from 1
	logical string // what was read last
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

// natural reads one line, without its end and the white space before it.
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

// configContinued takes the backslash off that continues a line: one that no other backslash escapes.
func configContinued(line string) (string, bool) {
	bare := strings.TrimRight(line, `\`)
	if (len(line)-len(bare))%2 == 0 {
		return line, false
	}
	return line[:len(line)-1], true
}

// configSplitLine parts key and value, both still escaped.
func configSplitLine(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune(configBlank+"=:", rune(line[end])) {
		if line[end] == '\\' {
			end++ // what it escapes ends no key
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

// configUnescape resolves the escapes of a key or value. Its errors do not show the text: it may be a secret.
func configUnescape(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8; other characters can be written as \\uXXXX")
	}
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var units []uint16 // Java's characters: two \uXXXX can make one of ours
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
				return "", errors.New("an escape \\u needs four hexadecimal digits")
			}
			units = append(units, uint16(unit))
			i += 4
			continue
		}
		units = utf16.AppendRune(units, configEscape(r))
	}
	return string(utf16.Decode(units)), nil
}

// configEscape is the character that a backslash and r stand for.
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
