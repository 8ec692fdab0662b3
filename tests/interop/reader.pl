# Perl's Net::NNTP against a site: log in, list, read, overview, post. What is wanted is in the environment.
use strict;
use warnings;
use Net::NNTP;

my ($port, $newsgroup, $subject) = @ENV{qw(INTEROP_PORT INTEROP_NEWSGROUP INTEROP_SUBJECT)};
my $tls = $ENV{INTEROP_TLS} || "";
my @tls = $tls ? (SSL_ca_file => $ENV{INTEROP_CERTIFICATE}) : ();
my $server = Net::NNTP->new("localhost", Port => $port, Timeout => 30, Reader => 0, SSL => $tls eq "tls", @tls)
    or die "no connection: $@";
my $id = "<perl.$$." . time() . "\@perl.example>";
my @body = $ENV{INTEROP_BODY} =~ /([^\n]*\n)/g;

sub check {
    my ($what, $true) = @_;
    die "$what: " . $server->code . " " . $server->message unless $true;
}

check("STARTTLS", $server->starttls(@tls)) if $tls eq "starttls";
if ($tls) {
    check("a wrong password", !$server->authinfo($ENV{INTEROP_USER}, "another password") && $server->code == 481);
    check("AUTHINFO", $server->authinfo($ENV{INTEROP_USER}, $ENV{INTEROP_PASSWORD}));
}
check("posting is allowed", $tls || $server->postok);
check("POST", $server->post(
    "From: A Poster <poster\@perl.example>\n",
    "Newsgroups: $newsgroup\n",
    "Subject: $subject\n",
    "Message-ID: $id\n",
    "\n",
    @body,
));

my $active = $server->list;
check("LIST", $active && exists $active->{$newsgroup});
my $matching = $server->active($newsgroup);
check("LIST ACTIVE", $matching && keys %$matching == 1);
check("LIST NEWSGROUPS", $server->newsgroups($newsgroup));
my $format = $server->overview_fmt;
check("LIST OVERVIEW.FMT", $format && $format->[0] =~ /^Subject/i);

my ($count, $first, $last, $name) = $server->group($newsgroup);
check("GROUP", defined $name && $name eq $newsgroup && $count >= 1);

for my $wanted ($id, $ENV{INTEROP_READ}) {
    my $article = $server->article($wanted);
    check("ARTICLE", $article);
    # Over TLS it leaves the CR in its place.
    my $text = join("", @$article) =~ s/\r\n/\n/gr;
    die "another body: $text" unless $text =~ /\n\n\Q$ENV{INTEROP_BODY}\E\z/;
}

my $overview = $server->xover([$first, $last]);
check("XOVER", $overview);
my ($number) = grep { $overview->{$_}[3] eq $id } keys %$overview;
die "not in the overview" unless defined $number;
die "another subject" unless $overview->{$number}[0] eq $subject;

check("HEAD", $server->head($number));
my $content = $server->body($number);
check("BODY", $content && join("", @$content) =~ s/\r\n/\n/gr eq $ENV{INTEROP_BODY});
my $stat = $server->nntpstat($number);
check("STAT", defined $stat && $stat eq $id);
my $since = time() - 2 * 86400;
check("NEWGROUPS", exists(($server->newgroups($since) || {})->{$newsgroup}));
my $new = $server->newnews($since, $newsgroup);
check("NEWNEWS", $new && grep { s/\s+\z//r eq $id } @$new);
check("DATE", abs(($server->date || 0) - time()) < 120);
$server->quit;
print "Net::NNTP $id\n";
