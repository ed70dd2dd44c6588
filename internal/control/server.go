package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	maxRequest = 1 << 20         // about 25,000 bundles at once
	maxOpen    = 32              // connections of one user at once; so nobody keeps another one out, and all have descriptors left
	maxWait    = 5 * time.Second // for a client to say what it wants, and to take its answer: who is slow holds its own connection for that long
	maxPath    = 107             // of a pathname socket (unix(7)), without its final NUL
)

// CheckState says whether a state's socket can have its path.
func CheckState(state string) error { return checkPath(Path(state)) }

func checkPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("its control socket's path may have %d bytes, and %s has %d: choose a shorter one", maxPath, path, len(path))
	}
	return nil
}

// Allow decides whether a peer may ask for something.
type Allow func(Peer) bool

// Handler answers one request. An *Error tells its code; any other error is 1.
type Handler func(ctx context.Context, p Peer, request json.RawMessage) (any, error)

// Error is a failure with the exit code that the command shall end with.
type Error struct {
	Code   int    `json:"code"`
	Text   string `json:"text"`
	Reason string `json:"reason,omitempty"` // the code of a check that did not hold
}

func (e *Error) Error() string { return e.Text }

// Server answers on one socket. Handle everything before Serve.
type Server struct {
	path   string
	log    *zap.Logger
	mux    *http.ServeMux
	l      *net.UnixListener
	allows []Allow // of all names
}

type peerKey struct{}

// Listen makes the socket. One that an earlier life left is replaced: the caller holds the state's lock.
//
// Anybody may connect, and each request asks its own Allow; the directory decides who gets as far.
func Listen(path string, log *zap.Logger) (*Server, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return &Server{path: path, log: log, mux: http.NewServeMux(), l: l}, nil
}

// Handle registers a name. change says that it changes something: then it is logged with who asked.
func (s *Server) Handle(name string, allow Allow, change bool, h Handler) {
	s.allows = append(s.allows, allow)
	s.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		peer, _ := r.Context().Value(peerKey{}).(Peer)
		log := s.log.With(zap.String("request", name), zap.Uint32("uid", peer.UID), zap.String("user", peer.Name()), zap.Int32("pid", peer.PID))
		if !allow(peer) {
			log.Warn("control: refused")
			answer(w, nil, &Error{Code: 1, Text: fmt.Sprintf("%s may not ask for %s here", peer.Name(), name)})
			return
		}
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(maxWait))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			answer(w, nil, &Error{Code: 2, Text: "the request is too long, or was cut off"})
			return
		}
		_ = c.SetReadDeadline(time.Time{}) // what was asked for may take as long as it takes
		if change {
			log.Info("control: asked", zap.ByteString("body", body))
		}
		out, err := h(r.Context(), peer, body)
		answer(w, out, err)
	})
}

// reply is what a request is answered with: exactly one of its fields.
type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

func answer(w http.ResponseWriter, out any, err error) {
	var r reply
	if err == nil {
		r.Result, err = json.Marshal(out)
	}
	if err != nil {
		var known *Error
		if !errors.As(err, &known) {
			known = &Error{Code: 1, Text: err.Error()}
		}
		r = reply{Error: known}
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxWait))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r) // the peer has gone: nobody is left to tell
}

// Serve answers until ctx ends, and waits for at most a second for what is under way.
func (s *Server) Serve(ctx context.Context) error {
	h := &http.Server{
		Handler:           s.mux,
		ReadHeaderTimeout: maxWait,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          zap.NewStdLog(s.log.WithOptions(zap.AddStacktrace(zap.DPanicLevel))),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p, err := peerOf(c.(*counted).Conn)
			if err != nil {
				s.log.Warn("control", zap.Error(err))
				p = Peer{UID: ^uint32(0)} // nobody: no Allow names it
			}
			return context.WithValue(ctx, peerKey{}, p)
		},
	}
	h.SetKeepAlivesEnabled(false) // a command asks once
	shut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(shut)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if h.Shutdown(end) != nil {
			_ = h.Close()
		}
	})
	err := h.Serve(&gate{UnixListener: s.l, s: s, open: make(map[uint32]int)})
	if !stop() {
		<-shut // Serve returns when nothing more is accepted, which is before what is under way has ended
	}
	_ = os.Remove(s.path)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("control socket: %w", err)
}

// gate closes the connections of peers who may ask for nothing, or have too many open, before they cost more than a descriptor for a moment.
type gate struct {
	*net.UnixListener
	s *Server

	mu   sync.Mutex
	open map[uint32]int // by uid
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		if p, err := peerOf(c); err == nil && g.s.admits(p) && g.take(p.UID) {
			return &counted{Conn: c, end: sync.OnceFunc(func() { g.give(p.UID) })}, nil
		}
		_ = c.Close() // nothing was said yet
	}
}

func (g *gate) take(uid uint32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[uid] >= maxOpen {
		return false
	}
	g.open[uid]++
	return true
}

func (g *gate) give(uid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[uid]--; g.open[uid] == 0 {
		delete(g.open, uid)
	}
}

// counted is a connection that counts for its user until it is closed.
type counted struct {
	net.Conn
	end func()
}

func (c *counted) Close() error {
	c.end()
	return c.Conn.Close()
}

func (s *Server) admits(p Peer) bool {
	for _, allow := range s.allows {
		if allow(p) {
			return true
		}
	}
	return false
}

// Decode reads a request into v, strictly.
func Decode(request json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(request))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return &Error{Code: 2, Text: "the request is not understood: " + err.Error() + " (are command and daemon of one version?)"}
	}
	return nil
}

// Path is where a state's socket stands.
func Path(state string) string { return filepath.Join(state, "control.sock") }
