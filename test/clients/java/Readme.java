import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;

import net.anumbrella.seaweedfs.core.FileSource;
import net.anumbrella.seaweedfs.core.FileTemplate;
import net.anumbrella.seaweedfs.core.file.FileHandleStatus;
import net.anumbrella.seaweedfs.exception.SeaweedfsFileNotFoundException;
import org.apache.http.entity.ContentType;

/**
 * net.anumbrella.seaweedfs:seaweedfs-java-client, used as its README shows: a FileSource that is started on a master, and a
 * FileTemplate that saves, reads, updates and deletes files.
 *
 * java -cp ... Readme.java master-host port
 *
 * The library is of 2018 and needs the master's answers of then; the test that runs this puts them into those words.
 */
public class Readme {
  static void check(boolean holds, String what) {
    if (!holds) throw new IllegalStateException(what);
  }

  static byte[] get(String url, String range) throws IOException {
    HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
    if (range != null) connection.setRequestProperty("Range", range);
    try (InputStream in = connection.getInputStream()) {
      return in.readAllBytes();
    }
  }

  static InputStream stream(String text) {
    return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
  }

  static String read(FileTemplate template, String fileId) throws IOException {
    return new String(template.getFileStream(fileId).getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  public static void main(String[] arguments) throws Exception {
    FileSource fileSource = new FileSource();
    fileSource.setHost(arguments[0]);
    fileSource.setPort(Integer.parseInt(arguments[1]));
    fileSource.startup();
    try {
      FileTemplate template = new FileTemplate(fileSource.getConnection());
      String content = "the content of a document, ".repeat(100);
      FileHandleStatus saved = template.saveFileByStream("filename.doc", stream(content), ContentType.TEXT_PLAIN);
      check(saved.getFileId().contains(","), "the id of a saved file: " + saved);
      check(saved.getSize() == content.length(), "its size: " + saved);
      check(read(template, saved.getFileId()).equals(content), "what was saved is read");
      String url = template.getFileUrl(saved.getFileId());
      check(new String(get(url, "bytes=4-10"), StandardCharsets.UTF_8).equals(content.substring(4, 11)), "and a range of it");
      FileHandleStatus status = template.getFileStatus(saved.getFileId());
      // Not its name: the library cuts that out of a Content-Disposition at fixed places, where it stood in 2018.
      check(status.getContentType().startsWith("text/plain"), "its type: " + status.getContentType());
      check(Math.abs(System.currentTimeMillis() - status.getLastModified()) < 3600_000, "its time: " + status.getLastModified());
      System.out.println("seaweedfs-java-client: connects; saves a file, reads it, tells its type and time");

      template.updateFileByStream(saved.getFileId(), "other.doc", stream("another content"), ContentType.TEXT_PLAIN);
      check(new String(get(url, null), StandardCharsets.UTF_8).equals("another content"), "what was updated is read");
      template.deleteFile(saved.getFileId());
      try {
        template.getFileStatus(saved.getFileId());
        throw new IllegalStateException("a deleted file has a status");
      } catch (SeaweedfsFileNotFoundException expected) {
        System.out.println("seaweedfs-java-client: updates it, deletes it, finds it no more");
      }

      template.setSameRackCount(1);  // replication 001
      template.setCollection("documents");
      template.setTimeToLive("1h");
      LinkedHashMap<String, InputStream> several = new LinkedHashMap<>();
      for (String name : Arrays.asList("a.doc", "b.doc", "c.doc")) several.put(name, stream("this is " + name));
      LinkedHashMap<String, FileHandleStatus> all = template.saveFilesByStreamMap(several, ContentType.TEXT_PLAIN);
      check(all.size() == 3, "three at once: " + all);
      ArrayList<String> ids = new ArrayList<>();
      for (String name : all.keySet()) {
        ids.add(all.get(name).getFileId());
        check(read(template, ids.get(ids.size() - 1)).equals("this is " + name), name + " reads back");
      }
      template.deleteFiles(ids);
      System.out.println("seaweedfs-java-client: three at once, with two copies, a collection and a time to live");
    } finally {
      fileSource.shutdown();
    }
    System.exit(0);
  }
}
