package policy

import (
	"bytes"
	"html"
	"strings"
)

// unmarked is a text as its reader sees it: without tags and comments, with references as the letters that they stand for. It is what HTML, XML and the parts of office documents have between a phrase's
// letters. It is a second look: whatever it takes for markup was looked at as it stands before.
//
//	sec<b></b>ret    sec<!-- > -->ret    sec<![CDATA[ret]]>    sec&#114;et    sec&shy;ret    --> secret
//
// Bytes of 0 are left out, so that letters of ASCII in UTF-16 stand beside each other as well.
type unmarked struct {
	wanted *wanted
	text   []byte // that may hold the beginning of a phrase
	state  byte   // one of the states below
	held   []byte // of what may be markup, or a reference
	cdata  bool   // it ends with ]]>
	dashes int    // before this byte of a comment
	equals bool   // an equals sign is before this byte of a tag
	quote  byte
	seen   int64
}

const (
	inText = iota
	inStart
	inTag
	inQuote
	inComment
	inReference
)

const (
	commentStart  = "<!--"
	cdataStart    = "<![CDATA["
	cdataEnd      = "]]"
	referenceMost = 32
)

// marks are the bytes that are not simply letters of a text.
var marks = [256]bool{0: true, '<': true, '>': true, '&': true}

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
		if piece = piece[n:]; len(piece) == 0 {
			break
		}
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

func (u *unmarked) found() string { return u.wanted.in(bytes.ToLower(u.text)) }

func (u *unmarked) next(c byte) {
	switch u.state {
	case inText:
		u.inText(c)
	case inStart:
		u.start(c)
	case inTag:
		switch {
		case c == '>':
			u.state = inText
		case u.equals && (c == '"' || c == '\''):
			u.state, u.quote = inQuote, c
		}
		u.equals = c == '=' || u.equals && c == ' '
	case inQuote:
		if c == u.quote {
			u.state, u.equals = inTag, false
		}
	case inComment:
		switch {
		case c == '>' && u.dashes >= 2:
			u.state = inText
		case c == '-':
			u.dashes++
		case c != '!' || u.dashes < 2: // --!> ends one as well
			u.dashes = 0
		}
	case inReference:
		if len(u.held) < referenceMost && (c == '#' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
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
}

func (u *unmarked) inText(c byte) {
	switch {
	case c == '<':
		u.state, u.held = inStart, append(u.held[:0], c)
	case c == '&':
		u.state, u.held = inReference, append(u.held[:0], c)
	case c == '>' && u.cdata && bytes.HasSuffix(u.text, []byte(cdataEnd)):
		u.text, u.cdata = u.text[:len(u.text)-len(cdataEnd)], false
	default:
		u.text = append(u.text, c)
	}
}

// start decides what begins with an angle bracket. What no tag begins with is text.
func (u *unmarked) start(c byte) {
	u.held = append(u.held, c)
	begun := ""
	if len(u.held) > 2 || c == '!' {
		begun = string(u.held)
	}
	switch {
	case begun == "" && c != '/' && c != '?' && (c|0x20 < 'a' || c|0x20 > 'z'):
		u.state = inText
		u.text = append(u.text, '<')
		u.inText(c)
	case begun == "":
		u.state, u.equals = inTag, false
	case begun == commentStart:
		u.state, u.dashes = inComment, 2 // <!--> is a whole one
	case strings.EqualFold(begun, cdataStart):
		u.state, u.cdata = inText, true
	case strings.HasPrefix(commentStart, begun), len(begun) <= len(cdataStart) && strings.EqualFold(cdataStart[:len(begun)], begun):
	default:
		u.state, u.equals = inTag, false
		u.next(c)
	}
}

// visible leaves out what nobody sees between two letters.
func visible(r rune) rune {
	switch r {
	case 0xad, 0x200b, 0x200c, 0x200d, 0x2060, 0xfeff:
		return -1
	}
	return r
}
