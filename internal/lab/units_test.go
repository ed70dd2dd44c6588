package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSoakUnits installs both programs as the README says on a Debian that systemd has booted, in a container, and has their units send, look into, hold and import. What the units forbid, their
// filter of calls above all, holds for the children that fence themselves in as well: only here both are one on top of the other.
func TestSoakUnits(t *testing.T) {
	rounds := soak(t, "ECLUSE_SOAK_UNITS")
	need(t, "debootstrap", "systemd-nspawn", "nsenter", "pgrep")
	tree := debian(t)
	for n := range rounds {
		if !t.Run(fmt.Sprintf("round %d", n+1), func(t *testing.T) { units(t, tree) }) {
			t.FailNow()
		}
	}
	t.Logf("soak units: %d done", rounds)
}

// A line of a unit that continues a comment, and has no sign of one, is an assignment to systemd: it says so in the journal of a machine that nobody looks at, and goes on without it.
func TestEveryLineOfAUnitIsOne(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "configs/systemd/*.service*"))
	must(t, err)
	more, err := filepath.Glob(filepath.Join(root, "configs/systemd/*/*.conf"))
	must(t, err)
	lines := 0
	for _, file := range append(files, more...) {
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for n, line := range strings.Split(string(text), "\n") {
			lines++
			if line != "" && !regexp.MustCompile(`^(#.*|\[[A-Z][a-z]+\]|[A-Z][A-Za-z]+=.*)$`).MatchString(line) {
				t.Errorf("%s:%d: systemd does not know %q", file, n+1, line)
			}
		}
	}
	if lines < 100 {
		t.Errorf("only %d lines were looked at", lines)
	}
}

// onDisk makes a directory on a disk: memory has no room for a machine, and often no devices.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "ecluse-units-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// debian fetches the smallest system that boots, of this machine's own release and from where it has its packages.
func debian(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(onDisk(t), "root") // debootstrap makes it, for everybody
	release, err := exec.Command("sh", "-c", `. /etc/os-release; echo "$VERSION_CODENAME"`).Output()
	must(t, err)
	args := []string{"--variant=minbase", "--include=systemd,systemd-sysv,dbus,jq,nftables,openssh-client", strings.TrimSpace(string(release)), dir}
	if from, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").Output(); err == nil {
		mirror, _, _ := strings.Cut(string(from), "\n")
		args = append(args, mirror)
	}
	if out, err := exec.Command("debootstrap", args...).CombinedOutput(); err != nil {
		t.Fatalf("debootstrap: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	return dir
}

// booted is a machine, in a container, that systemd has booted.
type booted struct {
	t    *testing.T
	init int // its process 1, as this machine counts
}

// bootMachine boots a copy of a tree that has the gateway's sources and programs in /root/ecluse. Its network is its own, and leads nowhere.
func bootMachine(t *testing.T, tree string) *booted {
	t.Helper()
	dir := onDisk(t)
	at := filepath.Join(dir, "root")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("cp", "-a", tree, at)
	home := filepath.Join(at, "root", "ecluse")
	must(t, os.MkdirAll(home, 0o755))
	run("cp", "-r", filepath.Join(root, "configs"), filepath.Join(root, "scripts"), filepath.Join(root, "README.md"), home)
	run("cp", "-r", programs, filepath.Join(home, "bin"))
	console, err := os.Create(filepath.Join(dir, "console"))
	must(t, err)
	defer console.Close()
	c := exec.Command("systemd-nspawn", "-q", "-b", "-D", at, "-M", fmt.Sprintf("ecluse-units-%d", os.Getpid()), "--register=no", "--keep-unit", "--private-network", "--console=pipe",
		"--system-call-filter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self") // the container's own filter is not what is tried
	c.Stdout, c.Stderr = console, console
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it powers the machine off
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = c.Process.Kill()
			<-ended
		}
	})
	m := &booted{t: t}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		child, _ := exec.Command("pgrep", "-x", "-P", strconv.Itoa(c.Process.Pid), "systemd").Output()
		if m.init, err = strconv.Atoi(strings.TrimSpace(string(child))); err == nil {
			if out, _ := m.command("systemctl is-system-running").Output(); strings.HasPrefix(string(out), "running") || strings.HasPrefix(string(out), "degraded") {
				return m
			}
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(console.Name())
			t.Fatalf("the machine does not boot:\n%s", text)
		}
	}
}

func (m *booted) command(script string) *exec.Cmd {
	c := exec.Command("nsenter", "-t", strconv.Itoa(m.init), "-a", "bash", "-euo", "pipefail", "-c", script)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	return c
}

// types runs commands in the machine as root, and gives what they print.
func (m *booted) types(script string) string {
	m.t.Helper()
	c := m.command(script)
	var talk bytes.Buffer
	c.Stderr = &talk
	out, err := c.Output()
	if err != nil {
		m.t.Fatalf("%s\n%v\n%s%s", script, err, out, talk.Bytes())
	}
	return string(out)
}

// comes waits until a condition holds in the machine.
func (m *booted) comes(what, condition string) {
	m.t.Helper()
	var out []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		var err error
		if out, err = m.command(condition).CombinedOutput(); err == nil {
			return
		}
	}
	m.t.Fatalf("waited in vain for: %s\n%s\n%s", what, condition, out)
}

const checker = `#!/bin/sh
if grep -rqF 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE' "$1"; then
	echo '{"verdict": "flagged", "version": "1", "findings": [{"path": "bad", "text": "the test virus"}]}'
else
	echo '{"verdict": "clean", "version": "1"}'
fi
`

func units(t *testing.T, tree string) {
	m := bootMachine(t, tree)
	defer func() {
		if t.Failed() {
			out, _ := m.command("journalctl -b --no-pager -u 'ecluse-*' | tail -n 60; ecluse-sender list; ecluse-receiver list; ecluse-sender status; ecluse-receiver status").CombinedOutput()
			t.Logf("%s", out)
		}
	}()
	m.install()
	m.types("systemctl start ecluse-receiver ecluse-sender")
	m.holdFences()
	m.lookInto()
	m.holdFences()
	m.types("systemctl restart ecluse-receiver ecluse-sender")
	m.comes("the session is open after a restart", `ecluse-receiver status --json | jq -e '.sessions[] | select(.state == "open")'`)
	m.types("systemctl stop ecluse-receiver ecluse-sender")
	m.quiet()
}

// install does what the README says, with both sides on one machine, and has both look into what passes.
func (m *booted) install() {
	m.t.Helper()
	m.types(`cd /root/ecluse
		scripts/install.sh receiver -- --name cloud-high --listen 127.0.0.1:4600
		scripts/install.sh sender -- --name ctie-low --to 127.0.0.1:4600 --rate 100Mbit
		ecluse-receiver pair --yes /etc/ecluse/sender.pair
		ecluse-sender pair --yes /etc/ecluse/receiver.pair
		cat > /usr/local/bin/check <<-'END'
` + checker + `END
		chmod 0755 /usr/local/bin/check
		sed -i 's/^    release: one/    release: automatic\n    policy: {text: ["TOP SECRET", "NOT ABOVE"], inspectors: [own]}/' /etc/ecluse/receiver.yaml
		printf 'inspectors:\n  - {name: own, command: [/usr/local/bin/check]}\n' >> /etc/ecluse/receiver.yaml
		sed -i 's/^    weight: 1/    weight: 1\n    policy: {text: ["TOP SECRET"]}/' /etc/ecluse/sender.yaml
		useradd -G ecluse-operators dropper`)
	if said, _ := m.command("systemd-analyze verify /etc/systemd/system/ecluse-{sender,receiver}.service 2>&1").Output(); len(bytes.TrimSpace(said)) > 0 {
		m.t.Errorf("systemd does not like the units:\n%s", said)
	}
}

// lookInto has an operator drop what is clean, what each side's rules flag in an archive, and what the inspector flags.
func (m *booted) lookInto() {
	m.t.Helper()
	m.types(`umask 077; mkdir -p /tmp/items/good/below /tmp/items/secret /tmp/items/above; cd /tmp/items
		head -c 3000000 /dev/urandom > good/below/random; echo alpha > good/a; tar -cf good/x.tar good/a
		echo 'it is TOP SECRET' > secret/s; gzip secret/s
		echo 'it is NOT ABOVE' > above/s; tar -czf above/s.tar.gz above/s; rm above/s
		printf 'EICAR-STANDARD-ANTIVIRUS-TEST-FILE' > bad
		chown -R dropper: /tmp/items
		runuser -u dropper -- sh -c 'umask 077; cp -r /tmp/items/* /var/spool/ecluse/default/'`)
	m.comes("what is clean is imported", "ecluse-receiver list --json --state imported | jq -e '.[] | select(.name == \"good\")'")
	m.types("diff -r /tmp/items/good /srv/import/default/good")
	for name, want := range map[string]string{
		"good":  `.state == "imported" and .verdict == "clean" and ([.inspections[].inspector] | sort) == ["own", "policy"]`,
		"bad":   `.state == "quarantined" and .verdict == "flagged" and .reason == "inspector-finding"`,
		"above": `.state == "quarantined" and .verdict == "flagged" and .reason == "policy-text"`,
	} {
		m.comes(name+" was looked into", fmt.Sprintf(`id=$(ecluse-receiver list --json | jq -er '.[] | select(.name == "%s") | .bundle'); ecluse-receiver show --json "$id" | jq -e '%s'`, name, want))
	}
	m.comes("the low side's child finds what is packed", `ecluse-sender list --json --state failed | jq -e '.[] | select(.name == "secret") | .reason | test("policy-text")'`)
	if got := strings.Fields(m.types("ls -A /srv/import/default")); len(got) != 1 {
		m.t.Errorf("delivered are %q", got)
	}
	if out := m.types("ecluse-receiver doctor || true"); !strings.Contains(out, "ok       inspector own") {
		m.t.Errorf("doctor says:\n%s", out)
	}
}

// holdFences holds that both units run since their start, under what they ask for, and not only under what the container has.
func (m *booted) holdFences() {
	m.t.Helper()
	for side, bounds := range map[string]string{"sender": "0000000010001006", "receiver": "0000000000001000"} { // DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, LEASE; NET_ADMIN
		shown := m.types("systemctl show -p ActiveState,NRestarts,Result ecluse-" + side)
		for _, want := range []string{"ActiveState=active", "NRestarts=0", "Result=success"} {
			if !strings.Contains(shown, want) {
				m.t.Errorf("ecluse-%s: not %s:\n%s", side, want, shown)
			}
		}
		own := m.types("grep Seccomp_filters /proc/1/status")
		status := m.types("cat /proc/$(systemctl show --value -p MainPID ecluse-" + side + ")/status")
		for _, want := range []string{"CapBnd:\t" + bounds, "CapEff:\t" + bounds, "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, want) {
				m.t.Errorf("ecluse-%s runs without %q:\n%s", side, want, status)
			}
		}
		if strings.Contains(status, own) {
			m.t.Errorf("ecluse-%s has no filter beside the container's: %s", side, own)
		}
	}
}

// quiet holds that the journal and the kernel tell of nothing that was killed or that ran without its fence.
func (m *booted) quiet() {
	m.t.Helper()
	journal := m.types("journalctl -b --no-pager")
	if !strings.Contains(journal, `"message":"receiving"`) || !strings.Contains(journal, `"message":"sending"`) {
		m.t.Error("the journal has nothing of the units")
	}
	kernel, _ := exec.Command("dmesg").Output() // this machine's: a container has none
	for _, line := range strings.Split(journal+string(kernel), "\n") {
		for _, bad := range []string{"SIGSYS", "status=31", "code=killed", "code=dumped", "core-dump", "no landlock", "Missing '='", "Unknown key", "Failed to", "type=1326"} {
			if strings.Contains(line, bad) && strings.Contains(line, "ecluse") {
				m.t.Errorf("it is told: %s", line)
			}
		}
	}
}
