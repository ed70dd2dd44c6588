// Package scanners starts real scanners for tests: ClamAV's daemon with one signature, that of the test virus, and c-icap in front of it. They end with the test. Nothing is fetched.
package scanners

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/peers"
)

// TestVirus is what every scanner knows as one, put together here so that none takes the tests for it.
func TestVirus() []byte {
	halves := []string{`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STAND`, `ARD-ANTIVIRUS-TEST-FILE!$H+H*`}
	return []byte(strings.Join(halves, ""))
}

// Clamd is a running clamd.
type Clamd struct {
	Socket  string
	dir     string
	process *exec.Cmd
	talk    *bytes.Buffer
}

// StartClamd starts one; lines are added to its configuration, which otherwise alerts of what is beyond its limits.
func StartClamd(t testing.TB, lines ...string) *Clamd {
	t.Helper()
	program := peers.Program(t, "clamd")
	dir := short(t)
	c := &Clamd{Socket: filepath.Join(dir, "clamd.sock"), dir: dir}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "db", "test.ndb"), "Eicar-Test-Signature:0:0:"+hex.EncodeToString(TestVirus())+"\n")
	conf := []string{"DatabaseDirectory " + filepath.Join(dir, "db"), "LocalSocket " + c.Socket, "Foreground yes", "TemporaryDirectory " + dir, "MaxThreads 4", "AlertExceedsMax yes"}
	for _, line := range lines {
		key, _, _ := strings.Cut(line, " ")
		for i := range conf {
			if strings.HasPrefix(conf[i], key+" ") {
				conf[i] = "# " + conf[i]
			}
		}
	}
	write(t, filepath.Join(dir, "clamd.conf"), strings.Join(append(conf, lines...), "\n")+"\n")
	c.Start(t, program)
	t.Cleanup(c.Stop)
	return c
}

// Start starts it again after Stop.
func (c *Clamd) Start(t testing.TB, program string) {
	t.Helper()
	c.process, c.talk = start(t, program, "-c", filepath.Join(c.dir, "clamd.conf"))
	until(t, "clamd", c.talk, func() bool { return answers("unix", c.Socket) })
}

// Again is Stop and Start.
func (c *Clamd) Again(t testing.TB) {
	t.Helper()
	c.Stop()
	c.Start(t, c.process.Path)
}

// Stop ends it.
func (c *Clamd) Stop() {
	end(c.process)
	_ = os.Remove(c.Socket)
}

// StartICAP starts c-icap in front of a clamd, with more lines of configuration, and gives the address of its antivirus service.
func StartICAP(t testing.TB, behind *Clamd, lines ...string) string {
	t.Helper()
	program := peers.Program(t, "c-icap")
	modules, err := filepath.Glob("/usr/lib/*/c_icap/virus_scan.so")
	if err != nil || len(modules) == 0 {
		peers.Lacking(t, "virus_scan.so")
	}
	dir, at, address := short(t), filepath.Dir(modules[0]), peers.Port(t)
	conf := fmt.Sprintf(`PidFile %[1]s/pid
CommandsSocket %[1]s/ctl
Port %[2]s
StartServers 1
MaxServers 1
ThreadsPerChild 4
MinSpareThreads 1
MaxSpareThreads 4
TmpDir %[1]s
ModulesDir %[3]s
ServicesDir %[3]s
TemplateDir /usr/share/c_icap/templates/
LoadMagicFile /etc/c-icap/c-icap.magic
ServerLog %[1]s/server.log
AccessLog %[1]s/access.log
Module common clamd_mod.so
clamd_mod.ClamdSocket %[4]s
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE
virus_scan.MaxObjectSize 5M
virus_scan.DefaultEngine clamd
`, dir, address, at, behind.Socket)
	write(t, filepath.Join(dir, "c-icap.conf"), conf+strings.Join(lines, "\n")+"\n")
	process, talk := start(t, program, "-N", "-D", "-d", "1", "-f", filepath.Join(dir, "c-icap.conf"))
	t.Cleanup(func() { end(process) })
	until(t, "c-icap", talk, func() bool { return answers("tcp", address) })
	return "icap://" + address + "/avscan"
}

// short is a directory whose path leaves room for a socket's name.
func short(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scan-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts a program in a group of its own, which ends with it, and with us.
func start(t testing.TB, program string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	talk := new(bytes.Buffer)
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = talk, talk
	c.WaitDelay = 5 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, talk
}

// end has a program end, which tidies up what it shares with others (c-icap: memory with a name), and kills what is left of its group.
func end(c *exec.Cmd) {
	_ = c.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	<-done
}

func answers(network, address string) bool {
	c, err := net.Dial(network, address)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func until(t testing.TB, what string, talk *bytes.Buffer, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s does not answer:\n%s", what, talk)
}
