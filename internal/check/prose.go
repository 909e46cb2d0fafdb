package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxColumns = 120
	tabColumns = 4

	// A longer URL or string literal excuses its line.
	maxUnbreakable = 60
)

// sourceLine is a line as it stands in a file.
type sourceLine struct {
	number    int
	text      string
	mayBeWide bool // a line without a place for a break
}

// sourceText is a file as the stage words reads it.
type sourceText struct {
	lines []sourceLine
	prose []proseLine
}

// readText reads a Go file, a page or a story; it returns nil for other files, for other test data and for generated
// files.
func (c *checker) readText(name string) (*sourceText, error) {
	isGo, isStory := path.Ext(name) == ".go", path.Dir(name) == storiesFolder
	if !isStory && (!isGo && path.Ext(name) != ".md" || strings.Contains("/"+name, "/testdata/")) {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	switch {
	case isStory:
		return readStory(string(text)), nil
	case isGo:
		return readGo(name, string(text))
	}
	return readPage(string(text)), nil
}

func splitLines(text string) []sourceLine {
	var lines []sourceLine
	for line := range strings.Lines(text) {
		lines = append(lines, sourceLine{number: len(lines) + 1, text: strings.TrimRight(line, "\r\n")})
	}
	return lines
}

// A directive is a comment for a tool, such as //go:build and //nolint.
var (
	directive     = regexp.MustCompile(`^//(?:[a-z0-9]+:[a-z0-9]|nolint\b|line )`)
	exampleOutput = regexp.MustCompile(`(?i)^//\s*(?:unordered )?output:`)
	fencePattern  = regexp.MustCompile("^\\s*(?:```+|~~~+)")
	linkTarget    = regexp.MustCompile(`\]\([^)]*\)`)
	inlineCode    = regexp.MustCompile("``[^\n]+?``|`[^`\n]*(?:\n[^`\n]+)?`")
	longURL       = regexp.MustCompile(fmt.Sprintf(`https?://[^\s)>\]]{%d,}`, maxUnbreakable-len("https://")))
)

// readGo returns the lines and the comments of a Go file.
func readGo(name, text string) (*sourceText, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	read := &sourceText{lines: splitLines(text)}
	allowWide := func(n ast.Node) {
		for number := files.Position(n.Pos()).Line; number <= files.Position(n.End()).Line; number++ {
			read.lines[number-1].mayBeWide = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if n.Tag != nil {
				allowWide(n.Tag)
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && isUnbreakable(n.Value) {
				allowWide(n)
			}
		}
		return true
	})
	for _, group := range file.Comments {
		prose, code := splitComment(group)
		for _, comment := range code {
			allowWide(comment)
		}
		read.prose = append(read.prose, commentProse(files, prose)...)
	}
	return read, nil
}

// isUnbreakable reports whether a string literal excuses its line. A long text stays in one piece, so that a search for
// the words of an error finds it.
func isUnbreakable(literal string) bool {
	return literal[0] == '`' && strings.Contains(literal, "\n") || utf8.RuneCountInString(literal) > maxUnbreakable
}

// splitComment tells the English in a comment from code, directives, and the output of an example.
func splitComment(group *ast.CommentGroup) (prose, code []*ast.Comment) {
	for i, comment := range group.List {
		switch {
		case exampleOutput.MatchString(comment.Text):
			return prose, append(code, group.List[i:]...)
		case directive.MatchString(comment.Text), strings.HasPrefix(comment.Text, "//\t"):
			code = append(code, comment)
		default:
			prose = append(prose, comment)
		}
	}
	return prose, code
}

// commentProse returns the English of comments without markers and quoted code.
func commentProse(files *token.FileSet, comments []*ast.Comment) []proseLine {
	var numbers []int
	var text []string
	for _, comment := range comments {
		first := files.Position(comment.Pos()).Line
		for i, line := range strings.Split(strings.TrimSuffix(comment.Text[2:], "*/"), "\n") {
			numbers = append(numbers, first+i)
			text = append(text, line)
		}
	}
	var prose []proseLine
	for i, line := range strings.Split(withoutCode(strings.Join(text, "\n")), "\n") {
		if i < len(numbers) {
			prose = append(prose, proseLine{number: numbers[i], text: line})
		}
	}
	return prose
}

// withoutCode removes quoted code and keeps the line breaks.
func withoutCode(text string) string {
	return inlineCode.ReplaceAllStringFunc(text, func(code string) string {
		return strings.Repeat("\n", strings.Count(code, "\n"))
	})
}

// readPage returns the lines and the prose of a Markdown page. Tables count as prose, but their rows may be wide.
func readPage(text string) *sourceText {
	read := &sourceText{lines: splitLines(text)}
	prose := make([]string, len(read.lines))
	fence := ""
	for i := range read.lines {
		line := &read.lines[i]
		start := fencePattern.FindString(line.text)
		switch {
		case fence != "":
			line.mayBeWide = true
			if start != "" && strings.TrimSpace(start) == fence {
				fence = ""
			}
		case start != "":
			fence = strings.TrimSpace(start)
			line.mayBeWide = true
		default:
			line.mayBeWide = strings.HasPrefix(strings.TrimSpace(line.text), "|")
			prose[i] = line.text
		}
	}
	for i, line := range strings.Split(withoutCode(strings.Join(prose, "\n")), "\n") {
		read.prose = append(read.prose, proseLine{number: i + 1, text: linkTarget.ReplaceAllString(line, "]")})
	}
	return read
}

// readStory returns the comments of a story. Its other lines are commands and their output.
func readStory(text string) *sourceText {
	read := &sourceText{}
	for _, line := range splitLines(text) {
		if comment, isComment := strings.CutPrefix(line.text, "#"); isComment {
			read.lines = append(read.lines, line)
			read.prose = append(read.prose, proseLine{number: line.number, text: comment})
		}
	}
	return read
}

// tooWide finds lines above the limit. An address cannot be broken, so a long one excuses its line.
func tooWide(name string, lines []sourceLine) []error {
	var errs []error
	for _, line := range lines {
		columns := utf8.RuneCountInString(line.text) + strings.Count(line.text, "\t")*(tabColumns-1)
		if columns > maxColumns && !line.mayBeWide && !longURL.MatchString(line.text) {
			const format = "%s:%d: %d columns; a line has at most %d"
			errs = append(errs, fmt.Errorf(format, name, line.number, columns, maxColumns))
		}
	}
	return errs
}
