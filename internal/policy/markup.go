package policy

import (
	"bytes"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// unmarked is a text as a reader of it sees it: without tags and comments, with references as the letters that they stand for, without what nobody sees. It is what HTML, XML and the parts of office documents
// have between a phrase's letters. It is a second look: whatever it takes for markup was looked at as it stands before.
//
//	sec<b></b>ret    sec<!-- > -->ret    sec<![CDATA[ret]]>    sec&#114;et    sec&shy;ret    --> secret
//
// Bytes of 0 are left out, so that letters of ASCII in UTF-16 stand beside each other as well.
type unmarked struct {
	reader
	wanted *wanted
	text   []byte // that may hold the beginning of a phrase
	lower  []byte // it, with its capitals made small
	plain  int    // the last bytes of all text, which stand beside each other in the content as well
	faint  bool   // there was the beginning of a letter that nobody may see
	state  byte   // one of the states below
	held   []byte // of what may be markup, a tag's name, or a reference
	count  int    // of the bytes that end a comment, CDATA or an instruction, those that were just before
	quote  byte
	within string // the element whose content is no markup until its end; "" is none
	seen   int64
}

// reader is how somebody reads markup. What is markup to one hides markup from the next, so a text is read in each of these ways.
type reader struct {
	xml      bool // there is CDATA, an instruction ends with ?>, and a comment with --> alone
	comments bool // else what begins like one ends at the first >
	quotes   bool // what an attribute is does not end a tag; else the first > does
	raw      bool // titles, scripts and their like hold no markup
}

var readers = []reader{
	{comments: true, quotes: true, raw: true}, // HTML
	{comments: true, quotes: true, xml: true},
	{quotes: true}, // a comment begins where nobody here knows that none can
	{},             // a quote does
}

// raws are the elements of HTML whose content is no markup.
var raws = []string{"title", "textarea", "style", "script", "xmp", "iframe", "noembed", "noframes"}

const (
	inText = iota
	inStart
	inTag     // its name
	inSpace   // before an attribute of it
	inName    // of an attribute
	inBehind  // it
	inEquals  // behind an equals sign
	inValue   // without quotes
	inQuote   // with them
	inNothing // that is seen: it ends at the first >
	inComment
	inInstruction
	inCDATA
	inReference
)

const (
	commentStart  = "<!--"
	cdataStart    = "<![CDATA["
	referenceMost = 32
	nameMost      = 16
)

// marks are the bytes that are not simply letters of a text, or may begin one that nobody sees.
var marks = [256]bool{0: true, '<': true, '>': true, '&': true, 0xc2: true, 0xcd: true, 0xd8: true, 0xdb: true, 0xdc: true, 0xe0: true, 0xe1: true, 0xe2: true, 0xe3: true, 0xef: true, 0xf0: true, 0xf3: true}

// unmarkedAll are the ways to read one text.
func unmarkedAll(w *wanted) (all []*unmarked) {
	for _, r := range readers {
		all = append(all, &unmarked{reader: r, wanted: w})
	}
	return all
}

// add takes a piece of a content that begins at a place, and with what was there before; it gives the phrase that was found.
func (u *unmarked) add(at int64, piece []byte) string {
	piece = piece[min(int64(len(piece)), max(0, u.seen-at)):]
	u.seen += int64(len(piece))
	for len(piece) > 0 {
		n := 0
		for u.state == inText && n < len(piece) && !marks[piece[n]] { // most of a text
			n++
		}
		u.text = append(u.text, piece[:n]...)
		u.plain += n
		if piece = piece[n:]; len(piece) == 0 {
			break
		}
		u.plain = 0
		if piece[0] != 0 {
			u.next(piece[0])
		}
		piece = piece[1:]
	}
	phrase := u.found()
	if extra := len(u.text) - u.wanted.longest; extra > 0 {
		u.text = u.text[:copy(u.text, u.text[extra:])]
	}
	return phrase
}

// end is add at the end of a content.
func (u *unmarked) end() string {
	if u.state == inReference {
		u.next('\n')
	}
	return u.found()
}

// found looks at what there is of the text, unless it stands like that in the content: there it was looked at.
func (u *unmarked) found() string {
	if u.plain >= len(u.text) {
		return ""
	}
	if u.faint {
		u.text, u.plain = seenOf(u.text), 0
	}
	u.lower = lowered(u.lower[:0], u.text)
	return u.wanted.in(u.lower)
}

func (u *unmarked) next(c byte) {
	switch u.state {
	case inText:
		u.inText(c)
	case inStart:
		u.start(c)
	case inNothing:
		if c == '>' {
			u.state = inText
		}
	case inComment:
		switch {
		case c == '>' && u.count >= 2:
			u.state = inText
		case c == '-':
			u.count++
		case c != '!' || u.count < 2 || u.xml: // --!> ends one as well
			u.count = 0
		}
	case inInstruction:
		if c == '>' && u.count > 0 {
			u.state = inText
		}
		u.count = 0
		if c == '?' {
			u.count = 1
		}
	case inCDATA:
		u.put(c)
		switch {
		case c == '>' && u.count >= 2:
			u.text, u.state = bytes.TrimSuffix(u.text, []byte("]]>")), inText
		case c == ']':
			u.count++
		default:
			u.count = 0
		}
	case inReference:
		u.reference(c)
	default:
		u.tag(c)
	}
}

func (u *unmarked) inText(c byte) {
	switch {
	case c == '<':
		u.state, u.held = inStart, append(u.held[:0], c)
	case c == '&':
		u.state, u.held = inReference, append(u.held[:0], c)
	default:
		u.put(c)
	}
}

func (u *unmarked) put(c byte) {
	u.faint = u.faint || c >= utf8.RuneSelf
	u.text = append(u.text, c)
}

// start decides what begins with an angle bracket. What no tag begins with is text.
func (u *unmarked) start(c byte) {
	if u.within != "" {
		u.ends(c)
		return
	}
	letter := c|0x20 >= 'a' && c|0x20 <= 'z' || u.xml && (c == '_' || c == ':' || c >= utf8.RuneSelf)
	u.held = append(u.held, c)
	begun := string(u.held)
	switch {
	case len(begun) == 2 && c == '?' && u.xml:
		u.state, u.count = inInstruction, 0
	case len(begun) == 2 && (c == '/' || c == '!'):
	case letter && (len(begun) == 2 || begun[1] == '/'):
		u.state = inTag
	case len(begun) == 2 && c != '?':
		u.state = inText
		u.text = append(u.text, '<')
		u.inText(c)
	case u.comments && begun == commentStart:
		u.state, u.count = inComment, 2 // <!--> is a whole one
		if u.xml {
			u.count = 0
		}
	case u.xml && begun == cdataStart:
		u.state, u.count = inCDATA, 0
	case u.comments && strings.HasPrefix(commentStart, begun), u.xml && strings.HasPrefix(cdataStart, begun):
	default:
		u.state = inNothing
		u.next(c)
	}
}

// ends looks for the end of the element whose content is no markup.
func (u *unmarked) ends(c byte) {
	end := "</" + u.within
	switch n := len(u.held); {
	case n < len(end) && (c == end[n] || c|0x20 == end[n]):
		u.held = append(u.held, c)
	case n == len(end) && (space(c) || c == '/' || c == '>'):
		u.state, u.within = inTag, ""
		u.tag(c)
	default:
		u.state = inText
		u.text = append(u.text, u.held...)
		u.inText(c)
	}
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// tag goes on in a tag as browsers do: an equals sign before the name of an attribute is one of its letters, and so is a quote that stands elsewhere than behind one.
func (u *unmarked) tag(c byte) {
	switch {
	case c == '>' && u.state != inQuote:
		u.state = inText
		if name := string(bytes.ToLower(u.held[1:])); u.raw {
			for _, r := range raws {
				if r == name {
					u.within = r
				}
			}
		}
		return
	case !u.quotes:
		return
	}
	switch u.state {
	case inTag:
		switch {
		case space(c) || c == '/':
			u.state = inSpace
		case len(u.held) < nameMost:
			u.held = append(u.held, c)
		}
	case inSpace:
		if !space(c) && c != '/' {
			u.state = inName
		}
	case inName, inBehind:
		switch {
		case c == '=':
			u.state = inEquals
		case c == '/':
			u.state = inSpace
		case space(c):
			u.state = inBehind
		default:
			u.state = inName
		}
	case inEquals:
		switch {
		case c == '"' || c == '\'':
			u.state, u.quote = inQuote, c
		case !space(c):
			u.state = inValue
		}
	case inValue:
		if space(c) {
			u.state = inSpace
		}
	case inQuote:
		if c == u.quote {
			u.state = inSpace
		}
	}
}

// reference goes on in one. Zeros before a number are without end, and say nothing.
func (u *unmarked) reference(c byte) {
	switch {
	case c == '0' && (string(u.held) == "&#" || strings.EqualFold(string(u.held), "&#x")):
		return
	case len(u.held) < referenceMost && (c == '#' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'):
		u.held = append(u.held, c)
		return
	}
	u.state = inText
	if c == ';' {
		u.held = append(u.held, c)
	}
	if len(u.held) == 1 {
		u.text = append(u.text, '&')
	} else {
		u.text = append(u.text, strings.Map(visible, html.UnescapeString(string(u.held)))...)
	}
	if c != ';' {
		u.inText(c)
	}
}

// seenOf is a text without what nobody sees between two letters, in its place.
func seenOf(text []byte) []byte {
	to := text[:0]
	for len(text) > 0 {
		n := 1
		if text[0] >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRune(text); visible(r) < 0 {
				text = text[n:]
				continue
			}
		}
		to, text = append(to, text[:n]...), text[n:]
	}
	return to
}

// visible leaves out what nobody sees between two letters: Unicode's characters of format, variation selectors, and others that are to be passed over.
func visible(r rune) rune {
	if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	return r
}
