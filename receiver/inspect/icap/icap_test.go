package icap

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/scanners"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/inspecttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(t *testing.T, address string) *inspect.Streams {
	t.Helper()
	u, err := Parse(address)
	inspecttest.Must(t, err)
	return New(u)
}

func TestARealServer(t *testing.T) {
	const mib = 1 << 20
	virus := scanners.TestVirus()
	clamd := scanners.StartClamd(t)
	s := at(t, scanners.StartICAP(t, clamd))
	v, err := s.Ready(t.Context())
	if err != nil || !strings.Contains(v.Text, "C-ICAP") || !strings.Contains(v.Text, "CI0001-") {
		t.Fatalf("%+v, %v", v, err)
	}
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 5000)...)
	for _, row := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"clean", map[string][]byte{"a.txt": []byte("words"), "empty": nil, "one": []byte("1"), "deep/b": bytes.Repeat([]byte("more words\n"), 300_000)}, "4 files: "},
		{"a virus", map[string][]byte{"a": []byte("words"), "b/c ü.txt": virus, "d": []byte("words")}, "3 files: malware item/b/c ü.txt"},
		{"one that is larger than what it scans", map[string][]byte{"a": make([]byte, 6*mib), "b": virus}, "2 files: inspector-limit item/a, malware item/b"},
		{"a kind that it does not scan", map[string][]byte{"a.png": png}, "1 files: inspector-limit item/a.png"},
	} {
		if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, row.files))); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	many := make(map[string][]byte)
	for n := range 250 { // c-icap hangs up after a hundred
		many[fmt.Sprintf("%s-%d", strings.Repeat("ü", 100), n)] = []byte("words")
	}
	if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, many))); got != "250 files: " {
		t.Errorf("many: %s", got)
	}
	if got := inspecttest.Says(at(t, scanners.StartICAP(t, clamd, "virus_scan.MaxObjectSize 10")).Look(t.Context(), inspecttest.Item(t, map[string][]byte{"a": []byte("words")}))); !strings.Contains(got, "it is not trusted") {
		t.Errorf("one that scans next to nothing: %s", got)
	}
	lax := scanners.StartClamd(t, "AlertExceedsMax no")
	if got := inspecttest.Says(at(t, scanners.StartICAP(t, lax)).Look(t.Context(), inspecttest.Item(t, map[string][]byte{"a": []byte("words")}))); !strings.Contains(got, "AlertExceedsMax yes") {
		t.Errorf("one that lets pass what is beyond its bounds: %s", got)
	}
	clamd.Stop()
	if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, map[string][]byte{"a": []byte("words")}))); !strings.HasPrefix(got, "error: ") {
		t.Errorf("without what scans behind it: %s", got)
	}
}

// fake is a server that takes what every one is tried with, and then does as it is told.
type fake struct {
	options string                   // instead of an honest answer
	early   string                   // instead of 100 Continue, to what is no trial
	answer  string                   // to what is no trial
	then    func(c net.Conn)         // instead of that
	judge   func(body []byte) string // instead of an honest judgement of a trial
}

const (
	honestOptions = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"tag\"\r\nPreview: 64\r\nAllow: 204\r\nEncapsulated: null-body=0\r\n\r\n"
	clean         = "ICAP/1.0 204 Unmodified\r\nISTag: \"tag\"\r\n\r\n"
	page          = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n"
	infected      = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\nX-Violations-Found: 1\r\n\t-\r\n\tEicar\r\n\t0\r\n\t0\r\nEncapsulated: res-hdr=0, res-body=52\r\n\r\n" + page + "3\r\nbad\r\n0\r\n\r\n"
)

func (f *fake) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	inspecttest.Must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			f.serve(c, bufio.NewReader(c))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "icap://" + l.Addr().String() + "/avscan"
}

func trial(body []byte) bool {
	return bytes.Contains(body, []byte("eicar.com")) || bytes.Contains(body, scanners.TestVirus())
}

func (f *fake) serve(c net.Conn, r *bufio.Reader) {
	for {
		h, err := readHead2(r)
		if err != nil {
			return
		}
		if strings.HasPrefix(h, "OPTIONS") {
			text := honestOptions
			if f.options != "" {
				text = f.options
			}
			io.WriteString(c, text)
			continue
		}
		readHead2(r) // of the request within
		readHead2(r) // of the answer
		body, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(r), 1<<30))
		if err != nil {
			return
		}
		r.ReadString('\n')
		known := trial(body)
		if f.early != "" && !known && len(body) < 64 { // the trials are recognised by their beginning
			io.WriteString(c, f.early)
			continue
		}
		io.WriteString(c, "ICAP/1.0 100 Continue\r\n\r\n")
		rest, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(r), 1<<30))
		if err != nil {
			return
		}
		r.ReadString('\n')
		body = append(body, rest...)
		switch {
		case trial(body) && f.judge != nil:
			io.WriteString(c, f.judge(body))
		case trial(body):
			io.WriteString(c, infected)
		case f.then != nil:
			f.then(c)
			return
		default:
			io.WriteString(c, f.answer)
		}
	}
}

// readHead2 reads lines up to an empty one.
func readHead2(r *bufio.Reader) (string, error) {
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return all.String(), err
		}
		all.WriteString(line)
	}
}

func TestWhatAHostileServerSaysIsNeverClean(t *testing.T) {
	head := func(status string, headers ...string) string {
		return "ICAP/1.0 " + status + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	}
	for name, f := range map[string]*fake{
		"hangs":                           {then: func(net.Conn) { time.Sleep(700 * time.Millisecond) }},
		"hangs up":                        {then: func(net.Conn) {}},
		"half an answer":                  {then: func(c net.Conn) { io.WriteString(c, "ICAP/1.0 204 Unmo") }},
		"a head without end":              {then: func(c net.Conn) { io.WriteString(c, "ICAP/1.0 204 Unmodified\r\nX: y\r\n") }},
		"garbage":                         {answer: "\x00\x01\x02\r\n\r\n"},
		"another protocol":                {answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		"a line without end":              {answer: "ICAP/1.0 204 " + strings.Repeat("x", 1<<16) + "\r\n\r\n"},
		"headers without end":             {answer: "ICAP/1.0 204 OK\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n"},
		"no header":                       {answer: "ICAP/1.0 204 OK\r\nnonsense\r\n\r\n"},
		"404":                             {answer: head("404 Not Found")},
		"500":                             {answer: head("500 Server Error")},
		"201":                             {answer: head("201 Created")},
		"200 and nothing":                 {answer: head("200 OK", "Encapsulated: null-body=0")},
		"200, unchanged":                  {answer: head("200 OK", "Encapsulated: res-hdr=0, res-body=19") + "HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n"},
		"200 without its parts":           {answer: head("200 OK", "X-Infection-Found: Threat=x;")},
		"a page that is longer than said": {answer: head("200 OK", "X-Virus-ID: x", "Encapsulated: res-hdr=0, res-body=52") + page + "fffffff\r\n"},
		"a chunk of no length":            {answer: head("200 OK", "X-Virus-ID: x", "Encapsulated: res-hdr=0, res-body=52") + page + "-1\r\n\r\n"},
		"100 twice":                       {answer: head("100 Continue")},
		"nothing is found":                {answer: clean, judge: func([]byte) string { return clean }},
		"only what is small":              {answer: clean, judge: func(b []byte) string { return map[bool]string{true: infected, false: clean}[len(b) < 1000] }},
		"no 204":                          {answer: clean, options: strings.Replace(honestOptions, "Allow: 204\r\n", "", 1)},
		"no RESPMOD":                      {answer: clean, options: strings.Replace(honestOptions, "RESPMOD", "REQMOD", 1)},
		"no options":                      {answer: clean, options: head("404 Not Found")},
		"a preview of no length":          {answer: clean, options: strings.Replace(honestOptions, "64", "-1", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			began := time.Now()
			if a, err := at(t, f.listen(t)).Look(ctx, inspecttest.Item(t, map[string][]byte{"a": []byte("some words")})); err == nil {
				t.Errorf("it says %+v", a)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	for name, row := range map[string]struct {
		f    *fake
		want string
	}{
		"an honest one":            {&fake{answer: clean}, "1 files: "},
		"clean by the beginning":   {&fake{early: clean}, "1 files: inspector-limit item/a"},
		"flagged by the beginning": {&fake{early: infected}, "1 files: malware item/a"},
		"a page and no name":       {&fake{answer: strings.Replace(strings.Replace(infected, "X-Infection", "X-Other", 1), "X-Violations", "X-Others", 1)}, "1 files: malware item/a"},
		"found, and let pass":      {&fake{answer: strings.Replace(clean, "ISTag", "X-Infection-Found: Type=0; Resolution=1; Threat=Eicar;\r\nISTag", 1)}, "1 files: malware item/a"},
		"an id, and let pass":      {&fake{answer: strings.Replace(clean, "ISTag", "X-Virus-ID: Eicar\r\nISTag", 1)}, "1 files: malware item/a"},
		"no violations":            {&fake{answer: strings.Replace(clean, "ISTag", "X-Violations-Found: 0\r\nISTag", 1)}, "1 files: "},
		"one without a preview":    {&fake{answer: clean, options: strings.Replace(honestOptions, "Preview: 64\r\n", "", 1)}, "error"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if got := inspecttest.Says(at(t, row.f.listen(t)).Look(ctx, inspecttest.Item(t, map[string][]byte{"a": []byte("some words")}))); !strings.HasPrefix(got, row.want) || row.want == "1 files: " && got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
		cancel()
	}
}

// A server that has seen enough answers before it has all, and stops reading.
func TestAServerMayStopReading(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	inspecttest.Must(t, err)
	defer l.Close()
	for answer, want := range map[string]bool{infected: true, clean: false} {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			readHead2(r)
			io.WriteString(c, strings.Replace(honestOptions, "Preview: 64\r\n", "", 1))
			readHead2(r)
			io.WriteString(c, answer)
			io.ReadFull(r, make([]byte, 1<<20))
			time.Sleep(1500 * time.Millisecond)
		}()
		u, err := Parse("icap://" + l.Addr().String() + "/x")
		inspecttest.Must(t, err)
		s, err := open(t.Context(), u)
		inspecttest.Must(t, err)
		found, err := s.Scan("a", bytes.NewReader(make([]byte, 64<<20)), 64<<20)
		if (found != nil) != want || (err == nil) != want || s.Usable() {
			t.Errorf("%.30q: %+v, %v, usable %v", answer, found, err, s.Usable())
		}
		s.Close()
		<-gone
	}
}

func TestAnAddressIsOne(t *testing.T) {
	for text, ok := range map[string]bool{
		"icap://127.0.0.1:1344/avscan": true, "icap://gateway/respmod": true, "icap://[::1]:1344/a/b?x=y": true,
		"http://h/a": false, "icap://h": false, "icap://h/": false, "icap:///a": false, "icap://u:p@h/a": false, "": false, "\x00": false,
	} {
		if _, err := Parse(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
