# Perl's Net::NNTP against a site: post, list, read, overview. Arguments: port, newsgroup.
use strict;
use warnings;
use Net::NNTP;

my ($port, $newsgroup) = @ARGV;
my $server = Net::NNTP->new("127.0.0.1", Port => $port, Timeout => 30, Reader => 1)
    or die "no connection: $@";
my $id = "<perl.$$." . time() . "\@perl.example>";
my @body = ("A line.\n", ".a line with a dot\n", "..two dots\n", ".\n", "Gr\xc3\xbc\xc3\x9fe.\n");

sub check {
    my ($what, $true) = @_;
    die "$what: " . $server->code . " " . $server->message unless $true;
}

check("posting is allowed", $server->postok);
check("POST", $server->post(
    "From: A Poster <poster\@perl.example>\n",
    "Newsgroups: $newsgroup\n",
    "Subject: Posted by Net::NNTP\n",
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

my $article = $server->article($id);
check("ARTICLE", $article);
my $text = join "", @$article;
die "another body: $text" unless $text =~ /\n\n\Q@{[join "", @body]}\E\z/;

my $overview = $server->xover([$first, $last]);
check("XOVER", $overview);
my ($number) = grep { $overview->{$_}[3] eq $id } keys %$overview;
die "not in the overview" unless defined $number;
die "another subject" unless $overview->{$number}[0] eq "Posted by Net::NNTP";

check("HEAD", $server->head($number));
my $content = $server->body($number);
check("BODY", $content && join("", @$content) eq join("", @body));
my $stat = $server->nntpstat($number);
check("STAT", defined $stat && $stat eq $id);
my $since = time() - 2 * 86400;
check("NEWGROUPS", exists(($server->newgroups($since) || {})->{$newsgroup}));
my $new = $server->newnews($since, $newsgroup);
check("NEWNEWS", $new && grep { $_ eq $id } @$new);
check("DATE", abs(($server->date || 0) - time()) < 120);
$server->quit;
print "Net::NNTP $id\n";
