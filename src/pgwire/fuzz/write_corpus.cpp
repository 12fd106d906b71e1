// write_corpus FOLDER: writes the samples of every subject to FOLDER/SUBJECT/NUMBER.
#include <cstdio>
#include <fstream>

#include "pgwire/fuzz/subjects.hpp"

namespace {

void write(const std::filesystem::path& folder, const std::vector<std::string>& samples) {
  std::filesystem::create_directories(folder);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::ofstream(folder / std::to_string(i + 1), std::ios::binary) << samples[i];
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_corpus FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  for (const auto& message : millrace::pgwire::fuzz::messages()) write(folder / message.name, message.samples);
  for (const auto& machine : millrace::pgwire::fuzz::machines()) write(folder / machine.name, machine.samples);
}
