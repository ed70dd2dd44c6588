package examine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"ecluse/internal/disk"
	"ecluse/internal/fence"
	"ecluse/internal/policy"
)

// Job is what a child is asked.
type Job struct {
	Root    string        `json:"root"`    // the directory that holds the item
	Item    string        `json:"item"`    // its name
	Scratch string        `json:"scratch"` // a directory for what is taken out of archives: a new one in it for each run, removed afterwards
	Room    int64         `json:"room"`    // bytes that may be put there
	Rules   *policy.Rules `json:"rules"`
}

// Report is what it answers.
type Report struct {
	Files    int64            `json:"files"` // that were looked at
	Bytes    int64            `json:"bytes"`
	Findings []policy.Finding `json:"findings"`
	More     int              `json:"more"`   // findings beyond those
	Fenced   bool             `json:"fenced"` // by landlock
}

// Runner starts children.
type Runner struct {
	Command []string // the program, and what makes it call Child
	Timeout time.Duration
}

const (
	answerMost = 8 << 20 // bytes of an answer: a hundred findings with the longest paths
	talkMost   = 4 << 10 // of what a child says on its way out
)

// An item may be looked at for so long: archives take longer than what they are made of, and who takes all of it holds up the others of its tenant.
const (
	patienceLeast = 5 * time.Minute
	patienceSpeed = 10 << 20 // bytes a second
)

// Patience is how long an item of so many bytes may be looked at.
func Patience(bytes int64) time.Duration {
	return patienceLeast + time.Duration(bytes/patienceSpeed)*time.Second
}

// Run has a child look at an item. An error says that it could not: nothing is known of the item then.
func (r *Runner) Run(ctx context.Context, job Job) (report *Report, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("it took longer than %v", r.Timeout))
	defer cancel()
	if job.Scratch, err = os.MkdirTemp(job.Scratch, "run-"); err != nil {
		return nil, fmt.Errorf("examine: %w", err)
	}
	defer func() { _ = disk.Clear(job.Scratch) }() // what stays is cleared at the next start
	question, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("examine: %w", err)
	}
	c := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	c.Env = []string{"GOTRACEBACK=none"}
	c.Dir = "/"
	c.Stdin = bytes.NewReader(question)
	answer, talk := &fence.Output{Most: answerMost}, &fence.Output{Most: talkMost}
	c.Stdout, c.Stderr = answer, talk
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	runtime.LockOSThread() // the child ends with the thread that started it
	defer runtime.UnlockOSThread()
	err = c.Run()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("examine: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("examine: the child ended: %w%s", err, talk.Said())
	}
	report = new(Report)
	d := json.NewDecoder(bytes.NewReader(answer.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(report); err != nil {
		return nil, fmt.Errorf("examine: read the child's answer: %w", err)
	}
	if _, err := d.Token(); err != io.EOF || answer.Over() {
		return nil, errors.New("examine: the child said more than an answer")
	}
	return report, nil
}

// Self is the program that runs, asked to be a child.
func Self(arguments ...string) []string { return append([]string{"/proc/self/exe"}, arguments...) }

// Child is the whole life of a child: it reads one Job, fences itself in, looks, and answers.
func Child(in io.Reader, out, talk io.Writer) (code int) {
	if err := child(in, out); err != nil {
		fmt.Fprintf(talk, "examine: %v\n", err)
		return 1
	}
	return 0
}

func child(in io.Reader, out io.Writer) error {
	var job Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	root, err := os.OpenRoot(job.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	fenced, err := fenceIn(job.Root, job.Scratch, job.Room)
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	report, err := look(root, job)
	if err != nil {
		return err
	}
	report.Fenced = fenced
	return json.NewEncoder(out).Encode(report)
}
