#include "core/raft/configuration.h"

#include <algorithm>

#include "base/bytes.h"

namespace holdfast::raft {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kVersionWithLeases = 2;
constexpr std::uint8_t kVersionWithWitness = 3;
constexpr std::uint8_t kVoter = 1;
constexpr std::uint8_t kPromote = 2;
constexpr std::uint8_t kReplaces = 4;
constexpr std::uint8_t kWitness = 8;

void append_id(std::string& out, NodeId id) {
  append_be(out, id.value().high);
  append_be(out, id.value().low);
}

// Takes big-endian values off the front; `failed` once there were too few bytes.
struct Reader {
  std::string_view rest;
  bool failed = false;

  template <typename T>
  T take() {
    if (rest.size() < sizeof(T)) {
      failed = true;
      return T{};
    }
    const T value = load_be<T>(rest.data());
    rest.remove_prefix(sizeof(T));
    return value;
  }
  NodeId take_id() {
    const auto high = take<std::uint64_t>();
    const auto low = take<std::uint64_t>();
    return NodeId(Uuid{high, low});
  }
  std::string take_text(std::size_t length) {
    if (rest.size() < length) {
      failed = true;
      return {};
    }
    std::string value(rest.substr(0, length));
    rest.remove_prefix(length);
    return value;
  }
};

bool before(const Member& a, const Member& b) { return a.id < b.id; }

}  // namespace

Configuration::Configuration(std::vector<Member> members) : members_(std::move(members)) {
  std::sort(members_.begin(), members_.end(), before);
}

const Member* Configuration::find(NodeId id) const {
  for (const auto& member : members_) {
    if (member.id == id) return &member;
  }
  return nullptr;
}

bool Configuration::is_voter(NodeId id) const {
  const auto* member = find(id);
  return member != nullptr && member->voter;
}

std::size_t Configuration::voter_count() const {
  return static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [](const Member& m) { return m.voter; }));
}

bool Configuration::is_full(NodeId id) const {
  const auto* member = find(id);
  return member != nullptr && member->voter && !member->witness;
}

std::vector<NodeId> Configuration::full_voters() const {
  std::vector<NodeId> found;
  for (const auto& member : members_) {
    if (member.voter && !member.witness) found.push_back(member.id);
  }
  return found;
}

std::optional<NodeId> Configuration::witness() const {
  for (const auto& member : members_) {
    if (member.witness) return member.id;
  }
  return std::nullopt;
}

bool Configuration::same_voters(const Configuration& other) const {
  return full_voters() == other.full_voters() && witness() == other.witness();
}

Configuration Configuration::with(Member member) const {
  auto members = without(member.id).members_;
  members.push_back(std::move(member));
  return Configuration(std::move(members)).with_lease_cap(lease_cap_);
}

Configuration Configuration::without(NodeId id) const {
  auto members = members_;
  std::erase_if(members, [&](const Member& m) { return m.id == id; });
  return Configuration(std::move(members)).with_lease_cap(lease_cap_);
}

Configuration Configuration::with_lease_cap(Duration cap) const {
  auto next = *this;
  next.lease_cap_ = cap;
  return next;
}

std::string encode(const Configuration& configuration) {
  std::string out;
  const bool leases = configuration.lease_cap() > Duration(0);
  const bool witness = configuration.witness().has_value();
  append_be<std::uint8_t>(out, witness ? kVersionWithWitness : leases ? kVersionWithLeases : kVersion);
  append_be<std::uint16_t>(out, static_cast<std::uint16_t>(configuration.members().size()));
  for (const auto& member : configuration.members()) {
    append_id(out, member.id);
    const bool replaces = !member.replaces.value().empty();
    append_be<std::uint8_t>(out, static_cast<std::uint8_t>((member.voter ? kVoter : 0) |
                                                           (member.promote ? kPromote : 0) |
                                                           (replaces ? kReplaces : 0) |
                                                           (member.witness ? kWitness : 0)));
    if (replaces) append_id(out, member.replaces);
    append_be<std::uint16_t>(out, static_cast<std::uint16_t>(member.address.size()));
    out += member.address;
  }
  if (leases || witness) append_be(out, static_cast<std::uint64_t>(configuration.lease_cap().count()));
  return out;
}

Result<Configuration> decode_configuration(std::string_view bytes) {
  Reader reader{bytes};
  const auto version = reader.take<std::uint8_t>();
  if (version != kVersion && version != kVersionWithLeases && version != kVersionWithWitness) {
    return Error{Code::unsupported, "configuration of an unknown version"};
  }
  const auto count = reader.take<std::uint16_t>();
  if (count > kMembersMax) return Error{Code::corrupt, "configuration with too many members"};
  std::vector<Member> members;
  for (std::uint16_t i = 0; i < count && !reader.failed; ++i) {
    Member member;
    member.id = reader.take_id();
    const auto flags = reader.take<std::uint8_t>();
    member.voter = (flags & kVoter) != 0;
    member.promote = (flags & kPromote) != 0;
    member.witness = (flags & kWitness) != 0;
    if ((flags & kReplaces) != 0) member.replaces = reader.take_id();
    const auto length = reader.take<std::uint16_t>();
    if (length > kAddressBytesMax || (flags & ~(kVoter | kPromote | kReplaces | kWitness)) != 0 ||
        (member.witness && !member.voter)) {
      return Error{Code::corrupt, "configuration with a malformed member"};
    }
    member.address = reader.take_text(length);
    members.push_back(std::move(member));
  }
  const auto cap = version != kVersion ? reader.take<std::uint64_t>() : 0;
  if (reader.failed || !reader.rest.empty()) {
    return Error{Code::corrupt, "configuration of a wrong length"};
  }
  if ((version == kVersionWithLeases && cap == 0) || cap > static_cast<std::uint64_t>(kLeaseCapMax.count())) {
    return Error{Code::corrupt, "configuration with an impossible lease cap"};
  }
  auto configuration = Configuration(std::move(members)).with_lease_cap(Duration(static_cast<std::int64_t>(cap)));
  for (std::size_t i = 1; i < configuration.members().size(); ++i) {
    if (configuration.members()[i - 1].id == configuration.members()[i].id) {
      return Error{Code::corrupt, "configuration that lists a member twice"};
    }
  }
  const auto witnesses = std::count_if(configuration.members().begin(), configuration.members().end(),
                                       [](const Member& m) { return m.witness; });
  if (witnesses != (version == kVersionWithWitness ? 1 : 0)) {
    return Error{Code::corrupt, "configuration with an impossible number of witnesses"};
  }
  return configuration;
}

std::string text(const Configuration& configuration) {
  std::string out;
  for (const auto& member : configuration.members()) {
    if (!out.empty()) out += ", ";
    out += text(member.id).substr(0, 8) + " " + member.address;
    if (!member.voter) out += member.promote ? " (joining)" : " (learner)";
    if (member.witness) out += " (witness)";
  }
  if (const auto cap = milliseconds(configuration.lease_cap()); cap > 0) out += "; leases up to " + std::to_string(cap) + " ms";
  return out;
}

Entry bootstrap_entry(const Configuration& configuration) {
  return Entry{.term = Term(1),
               .index = Index(1),
               .kind = EntryKind::configuration,
               .format = kEntryFormat,
               .data = encode(configuration)};
}

}  // namespace holdfast::raft
